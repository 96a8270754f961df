/**
 * Reward hacking: the reward rises while held-out problems are solved less often, so the policy satisfies the reward
 * but not the task (Gao et al., arXiv:2210.10760, for learned rewards; rules have holes too).
 *
 * The test compares two evaluations of a stage: the newest with the best before. The held-out rate fell when the difference
 * exceeds 1.96 standard errors of two independent shares, sqrt(p₁(1 − p₁)/n₁ + p₂(1 − p₂)/n₂); the reward rose when the mean of
 * the rows just before the newest exceeds that of the rows about the best by 0.01. It is no proof: both can come by chance
 * once in some hundred comparisons.
 */

import { ALARM_LIMITS } from "./thresholds.ts";

/** A held-out evaluation beside the reward of its time. */
export interface RatedReward {
  /** Share of held-out problems solved. */
  readonly rate: number;
  readonly problems: number;
  /** Mean training reward of the rows about it. */
  readonly reward: number;
}

/** How many standard errors the newest rate is below the best, where the reward rose meanwhile; undefined else. */
export function hackingDeviations(best: RatedReward, newest: RatedReward): number | undefined {
  if (newest.reward - best.reward < ALARM_LIMITS.hacking.reward) return undefined;
  const variance = ({ rate, problems }: RatedReward) => (rate * (1 - rate)) / problems;
  const error = Math.sqrt(variance(best) + variance(newest));
  const fall = best.rate - newest.rate;
  if (fall <= 0) return undefined;
  return error === 0 ? Number.POSITIVE_INFINITY : fall / error;
}
