/**
 * A datum of the protocol as one of the engine contract. There it is a model input x₀ … x_{N−1} and, for each position, a
 * target y_i that is predicted from x₀ … x_i, with one number each of what the loss reads. Here it is a prompt of one token,
 * x₀, and a completion x₁ … x_{N−1}, y_{N−1}, whose targets are the y_i: every position is scored. Where clients of ours say
 * how long the prompt is, the rest alone is a completion.
 */

import type { Datum } from "../../engine/contract/policy.ts";
import { int32sIn, tensorNumbers, type WireChunk, type WireDatum } from "../../tinker/messages.ts";
import { RequestFailure } from "./refusal.ts";

/** The tokens of a model input. Throws RequestFailure for one that is not text. */
export function inputTokens(chunks: readonly WireChunk[], what: string): Int32Array {
  const parts = chunks.map(({ encodedText }) => {
    if (encodedText === undefined) throw new RequestFailure(`${what} has an image or sound; this server takes text.`);
    return int32sIn(encodedText.tokens, what);
  });
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

/** The columns of a datum by name, each of one number a position. */
export class PositionColumns {
  readonly #datum: WireDatum;
  readonly #length: number;
  readonly #what: string;

  constructor(datum: WireDatum, length: number, what: string) {
    this.#datum = datum;
    this.#length = length;
    this.#what = what;
  }

  has(name: string): boolean {
    return this.#datum.lossFnInputs.has(name);
  }

  /** Throws RequestFailure unless it is there, with one number for each position. */
  numbers(name: string): Float32Array | Float64Array {
    const tensor = this.#datum.lossFnInputs.get(name);
    if (tensor === undefined) {
      const found = [...this.#datum.lossFnInputs.keys()].join(", ") || "nothing";
      throw new RequestFailure(`${this.#what} has no ${name} in its loss_fn_inputs, but ${found}.`);
    }
    const { values, shape } = tensorNumbers(tensor, `${name} of ${this.#what}`);
    if (shape.length === 1 && values.length === this.#length) return values;
    throw new RequestFailure(
      `${name} of ${this.#what} has the shape [${shape.join(", ")}]; the model input has ${this.#length} tokens, and there is one number for each.`,
    );
  }

  /** The same as finite float32. Throws RequestFailure. */
  floats(name: string): Float32Array {
    const values = Float32Array.from(this.numbers(name));
    const bad = values.findIndex((value) => !Number.isFinite(value));
    if (bad < 0) return values;
    throw new RequestFailure(`${name} of ${this.#what} has ${values[bad]} at position ${bad}; numbers are finite.`);
  }

  /** The same as token ids. Throws RequestFailure. */
  tokens(name: string): Int32Array {
    const values = this.numbers(name);
    const isToken = (value: number) => Number.isInteger(value) && value >= 0 && value < 2 ** 31;
    if ((values as Float64Array).every(isToken)) return Int32Array.from(values);
    throw new RequestFailure(`${name} of ${this.#what} has numbers that are no token ids.`);
  }
}

/** A datum, scored at every position. Throws RequestFailure for shapes that do not fit. */
export function scoredPositions(
  datum: WireDatum,
  index: number,
): { readonly datum: Datum; readonly columns: PositionColumns } {
  const what = `Datum ${index}`;
  const tokens = inputTokens(datum.modelInput, what);
  if (tokens.length === 0) throw new RequestFailure(`${what} has no tokens.`);
  const columns = new PositionColumns(datum, tokens.length, what);
  const targets = columns.tokens("target_tokens");
  const completion = new Int32Array(tokens.length);
  completion.set(tokens.subarray(1));
  completion[tokens.length - 1] = targets[tokens.length - 1]!;
  const isOwn = targets.every((token, i) => token === completion[i]);
  return {
    columns,
    datum: {
      promptTokens: tokens.subarray(0, 1),
      completionTokens: completion,
      weights: new Float32Array(tokens.length),
      ...(!isOwn && { targetTokens: targets }),
    },
  };
}
