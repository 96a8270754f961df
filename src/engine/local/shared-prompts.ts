/**
 * Rows of sequences that share their prompts. A prompt's keys and values are kept once, in a cache of prompts, and a row
 * has those of its completion alone. A step then reads a prompt once for all of its sequences (`shared-prompt-graph.ts`),
 * and beginning a sequence copies nothing. Where that is faster is decided by `sharesPrompts`.
 */

import type { Device } from "../../compute/device.ts";
import type { Disposable } from "../../compute/scope.ts";
import type { LoweringTarget } from "../../graph/target.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import { effectiveWindow, type ModelConfig } from "../../model/model-config.ts";
import { type CachedPrompt, KeyValueCache, type SequenceRows } from "./key-value-cache.ts";
import type { SamplerLimits } from "./limits.ts";

/** What is known of a list of prompts before it is sampled. */
export interface SampledShape {
  /** Tokens of the longest prompt, and of all prompts together. */
  readonly longestPrompt: number; // P
  readonly promptTokens: number;
  readonly prompts: number; // R
  readonly sequences: number; // B
  readonly maxCompletionTokens: number; // C
}

/** With fewer rows of queries to a prompt (its sequences times the query heads of a key-value head) nothing is gained. */
const LEAST_QUERY_ROWS = 24;
/** Shorter prompts do not pay for the operations that join the two parts of attention. */
const LEAST_PROMPT_TOKENS = 192;

/**
 * Whether a group's prompt is read once a step. With whole rows attention reads P + t positions of each sequence, t of them
 * its own. This way it reads the t positions, which are dearer by a quarter because their scores are written out, and pays a
 * third to a half for those of the prompt, and for some twenty small operations a layer. Measured on a CPU (docs/log.md): equal
 * at 128 tokens, ahead from `LEAST_PROMPT_TOKENS` on where no completion becomes longer than half of its prompt.
 *
 * Where a layer slides over a window that a sequence may outgrow, which positions of a prompt it sees differs from
 * sequence to sequence: there rows stay whole.
 */
export function sharesPrompts(
  config: ModelConfig,
  target: LoweringTarget,
  { promptSharing }: Pick<SamplerLimits, "promptSharing">,
  { longestPrompt, promptTokens, prompts, sequences, maxCompletionTokens }: SampledShape,
): boolean {
  const window = effectiveWindow(config);
  if (target.lacks.has("GroupQueryAttention.scores")) return false;
  if (window !== null && longestPrompt + maxCompletionTokens > window) return false;
  if (promptSharing !== "measured") return promptSharing === "always";
  const queryRows = (sequences / prompts) * (config.numHeads / config.numKvHeads);
  // Shorter prompts of a list are filled up to the longest one.
  const meanPrompt = promptTokens / prompts;
  const isLong = meanPrompt >= Math.max(LEAST_PROMPT_TOKENS, 2 * maxCompletionTokens, longestPrompt / 2);
  return isLong && sequences > prompts && queryRows >= LEAST_QUERY_ROWS;
}

/** Rows whose prompts fit into memory with them, at least one. */
export function affordableSharedRows(
  config: ModelConfig,
  dtype: FloatDType,
  { maxSlots, cacheBytes }: Pick<SamplerLimits, "maxSlots" | "cacheBytes">,
  { longestPrompt, prompts, sequences, maxCompletionTokens }: SampledShape,
): number {
  const row = KeyValueCache.rowBytes(config, dtype, maxCompletionTokens);
  const prompt = KeyValueCache.rowBytes(config, dtype, longestPrompt);
  // In the worst case every row is of another prompt.
  const withAll = Math.floor((cacheBytes - prompts * prompt) / row);
  const affordable = withAll >= prompts ? withAll : Math.floor(cacheBytes / (row + prompt));
  return Math.max(1, Math.min(sequences, maxSlots, affordable));
}

/** A prompt in the cache of prompts. */
interface HeldPrompt {
  readonly tokens: Int32Array;
  /** Rows of its sequences. */
  members: number;
}

/** B rows of completions in a cache that is its owner's, and the prompts of the sequences in them. */
export class SharedPrompts implements SequenceRows, Disposable {
  readonly rows: number;
  /** [B, kv, C, D′] */
  readonly own: KeyValueCache;
  /** [R, kv, P, D′] */
  readonly prompts: KeyValueCache;
  readonly #held: HeldPrompt[] = [];
  /** The index of each used row's prompt. */
  readonly #promptOf: number[] = [];

  /** Room for as many prompts of up to `longestPrompt` tokens as can be in use at once. */
  constructor(
    device: Device,
    config: ModelConfig,
    own: KeyValueCache,
    { prompts, longestPrompt }: Pick<SampledShape, "prompts" | "longestPrompt">,
  ) {
    this.rows = own.rows;
    this.own = own;
    this.prompts = new KeyValueCache(device, config, own.dtype, Math.min(own.rows, prompts), longestPrompt);
  }

  /** Tokens of the prompts that are in use, in the order of the cache. */
  get promptLengths(): readonly number[] {
    return this.#held.map(({ tokens }) => tokens.length);
  }

  /** For each used row the index of its prompt. */
  get promptOf(): readonly number[] {
    return this.#promptOf;
  }

  begin(row: number, prompt: Int32Array, computed: CachedPrompt): void {
    let index = this.#held.findIndex(({ tokens }) => tokens === prompt);
    if (index < 0) {
      index = this.#held.length;
      this.#held.push({ tokens: prompt, members: 0 });
      this.prompts.copyRow(index, computed.cache, computed.row, prompt.length);
    }
    this.#held[index]!.members++;
    this.#promptOf[row] = index;
  }

  end(row: number, last: number, cachedPositions: number): void {
    const ended = this.#promptOf[row]!;
    const moved = this.#promptOf[last]!;
    if (row !== last) {
      this.own.copyRow(row, this.own, last, cachedPositions - this.#held[moved]!.tokens.length);
      this.#promptOf[row] = moved;
    }
    this.#promptOf.length = last;
    if (--this.#held[ended]!.members === 0) this.#forget(ended);
  }

  /** Frees the place of a prompt; the last one takes it. */
  #forget(index: number): void {
    const last = this.#held.length - 1;
    const moved = this.#held.pop()!;
    if (index === last) return;
    this.prompts.copyRow(index, this.prompts, last, moved.tokens.length);
    this.#held[index] = moved;
    for (const [row, prompt] of this.#promptOf.entries()) if (prompt === last) this.#promptOf[row] = index;
  }

  /** Lets go of the prompts. */
  dispose(): void {
    this.prompts.dispose();
  }
}
