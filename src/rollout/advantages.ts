/**
 * From rewards to advantages: how much better a completion is than the others of its group.
 *
 * GRPO (DeepSeekMath, arXiv:2402.03300, §4.1.2) needs no value model: the mean reward of the completions of one prompt
 * is the baseline. What it is not: per-token credit; every token of a completion gets the same advantage.
 *
 * Departures from the paper: the standard deviation is Bessel-corrected and 1e-4 is added to it, as in TRL; a completion
 * that no reward judged (null) has advantage 0 and is left out of its group's mean and deviation; a group whose judged
 * rewards are all equal has advantages of exactly 0, whatever rounding its mean suffered.
 */

/** What a centred reward is divided by: the deviation of its group (GRPO), of the whole batch, or 1 (Dr. GRPO,
 * arXiv:2503.20783, which found the division to favour too easy and too hard prompts). */
export const SCALE_REWARDS = ["group", "batch", "none"] as const;

export type ScaleRewards = (typeof SCALE_REWARDS)[number];

/** Keeps the division finite where rewards hardly differ. */
export const STD_EPSILON = 1e-4;

export interface GroupAdvantages {
  /** One per reward, in order. */
  readonly advantages: Float64Array;
  /** Per group: the Bessel-corrected deviation of its judged rewards; 0 with fewer than two of them. */
  readonly groupStds: Float64Array;
  /** Per group: true where the judged rewards are all equal (or fewer than two), so that it teaches nothing. */
  readonly zeroVariance: readonly boolean[];
}

/**
 * A = (R − mean_group) / (std + 1e-4), std by `scale`. `rewards` holds whole groups one after another.
 *
 * @throws RangeError where `rewards` is not whole groups.
 */
export function groupAdvantages(
  rewards: readonly (number | null)[],
  groupSize: number,
  scale: ScaleRewards,
): GroupAdvantages {
  if (rewards.length % groupSize !== 0) {
    throw new RangeError(`${rewards.length} rewards are not whole groups of ${groupSize}`);
  }
  const numGroups = rewards.length / groupSize;
  const advantages = new Float64Array(rewards.length);
  const groupStds = new Float64Array(numGroups);
  const zeroVariance: boolean[] = [];
  const batchStd = sampleStd(rewards.filter((reward) => reward !== null));
  for (let group = 0; group < numGroups; group++) {
    const start = group * groupSize;
    const judged = rewards.slice(start, start + groupSize).filter((reward) => reward !== null);
    const constant = judged.every((reward) => reward === judged[0]);
    zeroVariance.push(constant);
    if (constant) continue;
    const baseline = mean(judged);
    const std = sampleStd(judged);
    groupStds[group] = std;
    const divisor = scale === "none" ? 1 : (scale === "group" ? std : batchStd) + STD_EPSILON;
    for (let i = start; i < start + groupSize; i++) {
      const reward = rewards[i];
      if (reward !== null && reward !== undefined) advantages[i] = (reward - baseline) / divisor;
    }
  }
  return { advantages, groupStds, zeroVariance };
}

/** Arithmetic mean; 0 of nothing. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return values.length === 0 ? 0 : sum / values.length;
}

/** Standard deviation with Bessel's correction (n − 1); 0 with fewer than two values. */
export function sampleStd(values: ArrayLike<number>): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - centre) ** 2;
  return Math.sqrt(squares / (values.length - 1));
}
