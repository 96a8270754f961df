/**
 * Data of the contract as data of the protocol, and results back.
 *
 * In the protocol every position has a target and a number of each column; a prompt's are zeros. Servers that speak Aha's
 * extension get prompt and completion as they are, with what else the contract knows of them.
 */

import { EngineError } from "../../errors.ts";
import { AHA_COLUMNS } from "../../tinker/aha-extension.ts";
import {
  bytesOf,
  floatRows,
  floatTensor,
  integerTensor,
  type WireDatum,
  type WireForwardBackwardOutput,
  type WireTensor,
} from "../../tinker/messages.ts";
import type { Datum } from "../contract/policy.ts";
import type { ScoreDatum, ScoreResult } from "../contract/sampler.ts";

function wireDatum(tokens: Int32Array, inputs: readonly (readonly [string, WireTensor])[]): WireDatum {
  return {
    modelInput: [{ encodedText: { tokens: bytesOf(tokens) }, image: undefined, dmel: undefined }],
    lossFnInputs: new Map(inputs),
    modelInputSpans: [],
    lossFnInputSpans: [],
  };
}

function joined(first: Int32Array, second: Int32Array): Int32Array {
  const tokens = new Int32Array(first.length + second.length);
  tokens.set(first);
  tokens.set(second, first.length);
  return tokens;
}

/** A datum with the extension. */
export function extendedDatum(datum: ScoreDatum & Partial<Datum>): WireDatum {
  const { promptTokens, completionTokens, keptTokens, targetTokens } = datum;
  const inputs: [string, WireTensor][] = [["prompt_length", integerTensor(Int32Array.of(promptTokens.length))]];
  if (targetTokens) inputs.push(["target_tokens", integerTensor(targetTokens)]);
  if (keptTokens) {
    inputs.push(["kept_tokens", integerTensor(Int32Array.from(keptTokens.flatMap((kept) => [...kept])))]);
    inputs.push(["kept_counts", integerTensor(Int32Array.from(keptTokens, ({ length }) => length))]);
  }
  for (const [name, onTheWire] of AHA_COLUMNS) {
    const values = datum[name];
    if (values) inputs.push([onTheWire, floatTensor(values)]);
  }
  return wireDatum(joined(promptTokens, completionTokens), inputs);
}

/** A datum of the protocol: columns are one number for each completion token, by the names that the loss has for them. */
export function plainDatum(
  { promptTokens, completionTokens, targetTokens = completionTokens }: ScoreDatum,
  columns: Readonly<Record<string, Float32Array>>,
): WireDatum {
  const all = joined(promptTokens, completionTokens);
  const positions = all.length - 1;
  const prompt = promptTokens.length - 1;
  const targets = all.slice(1);
  targets.set(targetTokens, prompt);
  const inputs = Object.entries(columns).map(([name, values]) => {
    const padded = new Float32Array(positions);
    padded.set(values, prompt);
    return [name, floatTensor(padded)] as const;
  });
  return wireDatum(all.subarray(0, positions), [["target_tokens", integerTensor(targets)], ...inputs]);
}

/** Tokens of a datum: four bytes are one. */
export function wirePositions({ modelInput }: WireDatum): number {
  return modelInput.reduce((sum, { encodedText }) => sum + (encodedText?.tokens?.length ?? 0) / 4, 0);
}

/** Bytes of a datum on the wire, about. */
export function sizeOf({ modelInput, lossFnInputs }: WireDatum): number {
  let bytes = modelInput[0]!.encodedText!.tokens!.length + 64;
  for (const { dense } of lossFnInputs.values()) bytes += (dense?.length ?? 0) + 64;
  return bytes;
}

/** Lists of data that fit into one request each, in order. */
export function inChunks(
  data: readonly WireDatum[],
  most: { readonly data: number; readonly bytes: number },
): WireDatum[][] {
  const chunks: WireDatum[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const datum of data) {
    const size = sizeOf(datum);
    if (bytes + size > most.bytes || chunks.at(-1)!.length >= most.data) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)!.push(datum);
    bytes += size;
  }
  return chunks;
}

/** What several requests came to, as one result: numbers of completion tokens alone. */
export function resultOf(
  outputs: readonly WireForwardBackwardOutput[],
  data: readonly ScoreDatum[],
): ScoreResult & { readonly margins?: readonly Float32Array[]; readonly loss: number | undefined } {
  const field = (name: string): Float32Array[] | undefined => {
    const rows: Float32Array[] = [];
    for (const { lossFnOutputs } of outputs) {
      for (const { fields } of lossFnOutputs) {
        const tensor = fields.get(name);
        if (tensor === undefined) return undefined;
        rows.push(...floatRows(tensor, name));
      }
    }
    if (rows.length !== data.length) throw wrongForm(`${rows.length} rows of ${name} for ${data.length} data`);
    return rows.map((row, i) => {
      const { length } = data[i]!.completionTokens;
      if (row.length < length) throw wrongForm(`${row.length} ${name} for ${length} completion tokens`);
      return row.subarray(row.length - length);
    });
  };
  const logprobs = field("logprobs");
  if (logprobs === undefined) throw wrongForm("no logprobs");
  const [entropies, margins] = [field("entropies"), field("margins")];
  const said = outputs.map(({ metrics }) => metrics.get("loss:sum"));
  const loss = said.includes(undefined) ? undefined : said.reduce<number>((sum, one) => sum + one!, 0);
  return { logprobs, ...(entropies && { entropies }), ...(margins && { margins }), loss };
}

function wrongForm(what: string): EngineError {
  return new EngineError(`The Tinker server's answer has ${what}.`);
}
