/**
 * The policy that sampled may differ from the policy as the trainer computes it (another engine, older weights, other
 * rounding). A ratio ρ = π_old/π_sampler before the policy term corrects this: truncated importance sampling (Yao et
 * al., "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training", 2025), or masked, per token or per
 * sequence; TRL's `vllm_importance_sampling_mode`.
 */

import { sumOf } from "../statistics.ts";

/** How ρ is bounded: cut at the bounds (`truncate`) or 0 outside (`mask`), of each token or of whole sequences. */
export const SAMPLER_CORRECTIONS = [
  "none",
  "token_truncate",
  "token_mask",
  "sequence_truncate",
  "sequence_mask",
] as const;

export type SamplerCorrection = (typeof SAMPLER_CORRECTIONS)[number];

/** The bounds of ρ; one that is absent does not bound. */
export interface CorrectionBounds {
  readonly max?: number | null | undefined;
  readonly min?: number | null | undefined;
}

/**
 * ρ of each token of a completion, 1 everywhere without correction. A sequence's ρ is the product of its tokens'. Tokens
 * that the sampler gave no log-probability (NaN) have ρ = 1. `mask`, where given, is 0 at tokens that do not count.
 */
export function correctionRatios(
  mode: SamplerCorrection,
  oldLogprobs: ArrayLike<number>,
  samplerLogprobs: ArrayLike<number>,
  bounds: CorrectionBounds = {},
  mask?: ArrayLike<number>,
): Float64Array {
  const logRatios = Float64Array.from({ length: oldLogprobs.length }, (_, t) => {
    const difference = oldLogprobs[t]! - samplerLogprobs[t]!;
    return Number.isNaN(difference) || mask?.[t] === 0 ? 0 : difference;
  });
  if (mode === "none") return logRatios.fill(1);
  if (mode.startsWith("sequence")) logRatios.fill(sumOf(logRatios));
  const min = bounds.min ?? Number.NEGATIVE_INFINITY;
  const max = bounds.max ?? Number.POSITIVE_INFINITY;
  const truncates = mode.endsWith("truncate");
  return logRatios.map((logRatio) => {
    const ratio = Math.exp(logRatio);
    if (truncates) return Math.min(Math.max(ratio, min), max);
    return ratio < min || ratio > max ? 0 : ratio;
  });
}
