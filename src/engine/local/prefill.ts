/**
 * Prompts on their way into a cache of their own, whole or in pieces.
 *
 * Short prompts are computed together, as the rows of one batch that are padded on the right. A prompt that is longer than
 * a piece, or whose own tokens are scored, is computed alone: each piece attends to the cache that the pieces before it
 * have filled, so the result is that of the whole prompt but for the rounding of smaller matrix products. Where pieces
 * are cut is the caller's choice: between two of them it may decode.
 */

import type { DeviceTensor } from "../../compute/device.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";
import type { PromptLogprobs } from "../contract/session.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import type { BoundStep, RotaryTensors, SamplingProgram, ScoredStep } from "./sampling-program.ts";
import type { Weights } from "./weights.ts";

/** A prompt that is to be computed. */
export interface WantedPrompt {
  readonly tokens: Int32Array;
  /** Score its tokens, with so many alternatives at each place. */
  readonly promptLogprobs?: number | undefined;
}

/** The keys, values and next-token logits of one computed prompt, in a row of a cache and of logits. */
export interface ComputedPrompt {
  readonly cache: KeyValueCache;
  readonly logits: DeviceTensor<"float32">; // [B, V]
  readonly row: number;
  /** Where they were asked for. */
  readonly scores?: PromptLogprobs;
}

/** Most bytes of the logits of a scored piece. */
const SCORED_LOGIT_BYTES = 64 * 2 ** 20;

/** Some prompts that are computed in a cache of their own. Dispose of it when none of them is needed any more. */
export interface Prefill extends Disposable {
  readonly members: readonly Int32Array[];
  /** Positions that are not computed yet. */
  readonly remaining: number;
  /** Computes up to `most` further positions, at least one; returns how many it computed. */
  advance(most: number): Promise<number>;
  /** The result for one of the members, once nothing remains. */
  resultOf(tokens: Int32Array): ComputedPrompt;
}

/**
 * Begins the first of these prompts with as many of those behind it as fit into `most` padded positions with it. A prompt
 * that is scored or longer than that is alone.
 */
export function beginPrefill(
  program: SamplingProgram,
  weights: Weights,
  wanted: readonly WantedPrompt[],
  most: number,
): Prefill {
  const first = wanted[0]!;
  const mostEach = Math.min(most, mostNewPositions(program));
  if (first.promptLogprobs !== undefined || first.tokens.length > mostEach)
    return new PrefillAlone(program, weights, first);
  const members: Int32Array[] = [];
  let length = 0; // T
  for (const { tokens, promptLogprobs } of wanted) {
    if (promptLogprobs !== undefined || tokens.length > mostEach) continue;
    const longest = Math.max(length, tokens.length);
    if (members.length > 0 && longest * (members.length + 1) > most) break;
    members.push(tokens);
    length = longest;
  }
  return new PrefillTogether(program, weights, members, length);
}

/** New positions of a sequence that the device's attention over a cache takes at once. */
function mostNewPositions({ device }: SamplingProgram): number {
  return device.target.mostNewPositions ?? Number.POSITIVE_INFINITY;
}

/** The rows of one batch, computed at once. */
class PrefillTogether implements Prefill {
  readonly members: readonly Int32Array[];
  remaining: number;
  readonly #program: SamplingProgram;
  readonly #weights: Weights;
  readonly #length: number;
  readonly #kept = new Scope();
  readonly #cache: KeyValueCache;
  readonly #logits: DeviceTensor<"float32">;

  constructor(program: SamplingProgram, weights: Weights, members: readonly Int32Array[], length: number) {
    const { device, config, cacheDType } = program;
    this.#program = program;
    this.#weights = weights;
    this.#length = length;
    this.members = members;
    this.remaining = length * members.length;
    this.#cache = this.#kept.hold(new KeyValueCache(device, config, cacheDType, members.length, length));
    this.#logits = this.#kept.hold(device.allocate("float32", [members.length, config.vocabSize]));
  }

  async advance(): Promise<number> {
    const length = this.#length;
    const scope = new Scope();
    try {
      const tables = this.#program.tables(length, scope);
      const operands = { weights: this.#weights, cache: this.#cache, tables, logits: this.#logits };
      const { inputs, call, upload } = await this.#program.bind(operands, length, scope);
      this.members.forEach((tokens, row) => {
        for (let t = 0; t < length; t++) {
          inputs.ids[row * length + t] = BigInt(tokens[t] ?? 0);
          inputs.positions[row * length + t] = BigInt(t);
        }
        inputs.lastPositions[row] = tokens.length - 1;
        inputs.rows[row] = BigInt(row * length + tokens.length - 1);
      });
      inputs.totalLength[0] = length;
      upload();
      await call.run();
      const computed = this.remaining;
      this.remaining = 0;
      return computed;
    } finally {
      scope.dispose();
    }
  }

  resultOf(tokens: Int32Array): ComputedPrompt {
    return { cache: this.#cache, logits: this.#logits, row: this.members.indexOf(tokens) };
  }

  dispose(): void {
    this.#kept.dispose();
  }
}

/** One prompt, piece by piece. */
class PrefillAlone implements Prefill {
  readonly members: readonly Int32Array[];
  readonly #program: SamplingProgram;
  readonly #weights: Weights;
  readonly #tokens: Int32Array;
  /** Undefined: the prompt is not scored. */
  readonly #alternatives: number | undefined;
  readonly #kept = new Scope();
  readonly #cache: KeyValueCache;
  readonly #logits: DeviceTensor<"float32">;
  readonly #tables: RotaryTensors;
  readonly #scores: PromptLogprobs | undefined;
  #computed = 0;

  constructor(program: SamplingProgram, weights: Weights, { tokens, promptLogprobs }: WantedPrompt) {
    const { device, config, cacheDType } = program;
    this.#program = program;
    this.#weights = weights;
    this.#tokens = tokens;
    this.members = [tokens];
    this.#cache = this.#kept.hold(new KeyValueCache(device, config, cacheDType, 1, tokens.length));
    this.#logits = this.#kept.hold(device.allocate("float32", [1, config.vocabSize]));
    this.#tables = program.tables(tokens.length, this.#kept);
    if (promptLogprobs === undefined) return;
    const places = tokens.length - 1;
    this.#alternatives = Math.min(promptLogprobs, config.vocabSize);
    this.#scores = {
      logprobs: new Float32Array(places),
      topTokens: new Int32Array(places * this.#alternatives),
      topLogprobs: new Float32Array(places * this.#alternatives),
    };
  }

  get remaining(): number {
    return this.#tokens.length - this.#computed;
  }

  async advance(most: number): Promise<number> {
    const { vocabSize } = this.#program.config;
    const affordable = this.#scores ? Math.max(1, Math.floor(SCORED_LOGIT_BYTES / (4 * vocabSize))) : most;
    const T = Math.min(most, affordable, this.remaining, mostNewPositions(this.#program));
    const begin = this.#computed;
    const end = begin + T;
    const scope = new Scope();
    try {
      const step = await this.#bind(T, scope);
      const { inputs, upload, call } = step;
      for (let t = 0; t < T; t++) {
        inputs.ids[t] = BigInt(this.#tokens[begin + t]!);
        inputs.positions[t] = BigInt(begin + t);
      }
      inputs.lastPositions[0] = end - 1;
      inputs.totalLength[0] = end;
      inputs.rows[0] = BigInt(T - 1);
      upload();
      await call.run();
      if ("targets" in step) await this.#keepScores(step, begin, T);
      this.#computed = end;
      return T;
    } finally {
      scope.dispose();
    }
  }

  resultOf(): ComputedPrompt {
    const scores = this.#scores && { scores: this.#scores };
    return { cache: this.#cache, logits: this.#logits, row: 0, ...scores };
  }

  dispose(): void {
    this.#kept.dispose();
  }

  async #bind(T: number, scope: Scope): Promise<BoundStep | ScoredStep> {
    const operands = { weights: this.#weights, cache: this.#cache, tables: this.#tables, logits: this.#logits };
    if (this.#alternatives === undefined) return this.#program.bind(operands, T, scope);
    const step = await this.#program.bindScored(operands, T, Math.max(1, this.#alternatives), scope);
    // Nothing follows the last token of the prompt.
    for (let t = 0; t < T; t++) step.targets[t] = BigInt(this.#tokens[this.#computed + t + 1] ?? 0);
    return step;
  }

  async #keepScores(step: ScoredStep, begin: number, T: number): Promise<void> {
    const { targetLogprobs, topLogprobs, topTokens } = await step.scores();
    const { logprobs, topTokens: tokens, topLogprobs: tops } = this.#scores!;
    const kept = this.#alternatives!;
    const width = Math.max(1, kept);
    const places = Math.min(T, logprobs.length - begin);
    for (let t = 0; t < places; t++) {
      logprobs[begin + t] = targetLogprobs[t]!;
      for (let rank = 0; rank < kept; rank++) {
        tokens[(begin + t) * kept + rank] = Number(topTokens[t * width + rank]!);
        tops[(begin + t) * kept + rank] = topLogprobs[t * width + rank]!;
      }
    }
  }
}
