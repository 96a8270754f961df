/**
 * How much memory sampling, scoring and training take. Results do not depend on these numbers beyond rounding. The engine
 * keeps to them, and the doctor's estimate of a run's memory counts with them.
 */

import type { FloatDType } from "../../graph/tensor-type.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { Quantization } from "../../model/quantization.ts";
import { KeyValueCache } from "./key-value-cache.ts";

/** What sampling takes. */
export interface SamplerLimits {
  /** Most sequences decoded at once. */
  readonly maxSlots: number;
  /** Most memory for the slots' keys and values. */
  readonly cacheBytes: number;
  /** Whether sequences of one prompt read it together (`shared-prompts.ts`). */
  readonly promptSharing: PromptSharing;
}

/** "measured": where it was measured to be faster. */
type PromptSharing = "measured" | "always" | "never";

/** What scoring and training take. */
export interface SequenceLimits {
  /** Token positions of a micro-batch. */
  readonly microBatchTokens: number;
  /** Completion tokens that have their logits in memory at once; `defaultLogitBytes` says how many if absent. */
  readonly logitChunkTokens?: number | undefined;
  /** Training keeps of each layer its input alone and computes the layer again in the backward pass. */
  readonly gradientCheckpointing: boolean;
}

export interface LocalLimits extends SamplerLimits, SequenceLimits {}

/** Limits as they may be given. */
export type GivenLimits = { readonly [Name in keyof LocalLimits]?: LocalLimits[Name] | undefined };

/** The limits where some are given. */
export function limitsFrom({
  maxSlots = 256,
  cacheBytes = 2 ** 30,
  promptSharing = "measured",
  microBatchTokens = 2048,
  logitChunkTokens,
  gradientCheckpointing = false,
}: GivenLimits): LocalLimits {
  return { maxSlots, cacheBytes, promptSharing, microBatchTokens, logitChunkTokens, gradientCheckpointing };
}

const F32_BYTES = 4;

/**
 * Bytes of a chunk of logits, where nothing else was asked for: 128 MiB; a step has about four tensors of that size at
 * once. At the head of Qwen2.5-0.5B (a chunk of 220 tokens) that is as fast as whole logits, where half of it takes a third
 * longer: the weights are read once for each chunk. Packed weights are taken where memory is short, so half of it there.
 */
function defaultLogitBytes(quantization: Quantization | undefined): number {
  return 2 ** (quantization === undefined ? 27 : 26);
}

/** Completion tokens that have their logits in memory at once. */
export function logitChunkTokens(
  limits: Pick<SequenceLimits, "logitChunkTokens">,
  { vocabSize }: Pick<ModelConfig, "vocabSize">,
  quantization: Quantization | undefined,
): number {
  const affordable = Math.floor(defaultLogitBytes(quantization) / (F32_BYTES * vocabSize));
  return limits.logitChunkTokens ?? Math.max(1, affordable);
}

/** Rows of `positions` in a key-value cache of this dtype that are affordable, at least one. */
export function affordableRows(
  config: ModelConfig,
  dtype: FloatDType,
  { maxSlots, cacheBytes }: Pick<SamplerLimits, "maxSlots" | "cacheBytes">,
  positions: number,
): number {
  const affordable = Math.floor(cacheBytes / KeyValueCache.rowBytes(config, dtype, positions));
  return Math.max(1, Math.min(maxSlots, affordable));
}
