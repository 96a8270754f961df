/**
 * Which tokens' policy terms count, decided from what a forward pass has found: those of the highest entropy, and those
 * of sequences that are not too far off policy.
 */

/**
 * Quantile of values, interpolated linearly between neighbours, with the single-precision arithmetic of torch.quantile:
 * a token at the threshold must fall on the same side as there. `share` is in [0, 1]; NaN of no values.
 */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = Float32Array.from(values).sort();
  const rank = Math.fround(Math.fround(share) * (sorted.length - 1));
  const below = Math.floor(rank);
  const weight = Math.fround(rank - below);
  const low = sorted[below]!;
  const high = sorted[Math.min(below + 1, sorted.length - 1)]!;
  const distance = Math.fround(high - low);
  return weight < 0.5
    ? Math.fround(low + Math.fround(weight * distance))
    : Math.fround(high - Math.fround(distance * Math.fround(1 - weight)));
}

/**
 * The least entropy, in nats, of a token that counts: with quantile q the tokens above the (1 − q) quantile do, at q = 0
 * the highest alone (Wang et al., "Beyond the 80/20 Rule", arXiv:2506.01939). Infinity where there is no token.
 */
export function entropyThreshold(entropies: readonly number[], topQuantile: number): number {
  return entropies.length === 0 ? Number.POSITIVE_INFINITY : quantile(entropies, 1 - topQuantile);
}

/**
 * How far a sequence has drifted from the policy that sampled it: mean_t(logπ_sampler − logπ), in nats (DeepSeek-V3.2,
 * arXiv:2512.02556, eq. 9). 0 of no tokens.
 */
export function sequenceDrift(logprobs: readonly number[], samplerLogprobs: readonly number[]): number {
  let sum = 0;
  for (const [t, logprob] of logprobs.entries()) sum += samplerLogprobs[t]! - logprob;
  return sum / Math.max(logprobs.length, 1);
}
