/**
 * From rewards to advantages: how much better a completion is than what it is compared with.
 *
 *   group                  R − mean of its group, over a deviation or not: GRPO (DeepSeekMath, arXiv:2402.03300, §4.1.2),
 *                          Dr. GRPO (arXiv:2503.20783), GDPO (arXiv:2601.05242)
 *   rloo                   R − mean of the others of its group: REINFORCE leave-one-out (Ahmadian et al., arXiv:2402.14740)
 *   reinforce++            no baseline but the batch: (R − mean) / std over its tokens (Hu et al., arXiv:2501.03262)
 *   reinforce++-baseline   R − mean of its group, then as reinforce++ (the same paper's variant for rule rewards)
 *
 * None needs a value model. What it is not: per-token credit; every token of a completion gets the same advantage,
 * except where reinforce++ has a KL penalty in its rewards: there the return of a token sums the penalties from that
 * token on.
 *
 * Departures from the papers: deviations are Bessel-corrected and 1e-4 is added, as in TRL; a completion that no reward
 * judged (null) has advantage 0 and is left out of means and deviations; a group whose judged rewards are all equal has
 * advantages of exactly 0, even if its mean was rounded.
 */

import { mean, sampleStd, sumOf } from "../statistics.ts";

/** What a centred reward is divided by: the deviation of its group (GRPO), of the whole batch, or 1 (Dr. GRPO,
 * arXiv:2503.20783, which found the division to favour too easy and too hard prompts). */
export const SCALE_REWARDS = ["group", "batch", "none"] as const;

export type ScaleRewards = (typeof SCALE_REWARDS)[number];

/** What completions are compared with. */
export const ADVANTAGES = ["group", "rloo", "reinforce++", "reinforce++-baseline"] as const;

export type AdvantageName = (typeof ADVANTAGES)[number];

/** Several rewards: their weighted sum is normalised (GRPO), or each by itself, then the sum over the batch (GDPO). */
export const REWARD_AGGREGATIONS = ["sum_then_normalize", "normalize_then_sum"] as const;

export type RewardAggregation = (typeof REWARD_AGGREGATIONS)[number];

/** Keeps the division finite where rewards hardly differ. */
export const STD_EPSILON = 1e-4;

/** What is known of a completion when advantages are computed. */
export interface JudgedCompletion {
  /** The weighted sum of its scores; null where every reward abstained. */
  readonly reward: number | null;
  /** Weight and score of each reward, in the same order for all; a null score is an abstention. Needed for
   * normalize_then_sum alone. */
  readonly scores?: readonly { readonly weight: number; readonly score: number | null }[];
  /** Tokens that are trained on. */
  readonly tokens: number;
  /** What is taken from the reward at each of its tokens, β included; nothing if absent. */
  readonly penalties?: ArrayLike<number>;
}

export interface AdvantageOptions {
  readonly groupSize: number;
  readonly advantage: AdvantageName;
  /** Of advantage `group` with sum_then_normalize. */
  readonly scaleRewards: ScaleRewards;
  readonly rewardAggregation: RewardAggregation;
  /** Whitens the advantages over the batch as the last step; reinforce++ always does so, over tokens. */
  readonly normalizeAdvantages: boolean;
}

export interface GroupAdvantages {
  /** One per completion, in order; of tokens that differ, their mean. */
  readonly advantages: Float64Array;
  /** Per completion and token, where the tokens of a completion differ. */
  readonly tokenAdvantages?: readonly Float64Array[];
  /** Per group: the Bessel-corrected deviation of its judged rewards; 0 with fewer than two of them. */
  readonly groupStds: Float64Array;
  /** Per group: true where the judged rewards are all equal (or fewer than two), so that it teaches nothing. */
  readonly zeroVariance: readonly boolean[];
}

/**
 * Advantages of whole groups one after another. `groupStds` and `zeroVariance` are of the rewards without penalties.
 *
 * @throws RangeError where `completions` is not whole groups.
 */
export function completionAdvantages(
  completions: readonly JudgedCompletion[],
  options: AdvantageOptions,
): GroupAdvantages {
  const { groupSize, advantage } = options;
  const judged = completions.map(({ reward }) => reward);
  const spread = groupAdvantages(judged, groupSize, "none");
  const decoupled = options.rewardAggregation === "normalize_then_sum";
  const zeroVariance = decoupled
    ? inGroups(completions, groupSize).map((group) => scoreColumns(group).every(isConstant))
    : spread.zeroVariance;
  const summary = { groupStds: spread.groupStds, zeroVariance };
  const rewards = completions.map(({ reward, penalties }) =>
    reward === null ? null : reward - sumOf(penalties ?? []),
  );

  switch (advantage) {
    case "group": {
      const centred = decoupled
        ? decoupledAdvantages(completions, groupSize)
        : groupAdvantages(rewards, groupSize, options.scaleRewards).advantages;
      const values = Array.from(centred, (value, i) => (rewards[i] === null ? null : value));
      return { ...summary, advantages: settled(values, options.normalizeAdvantages) };
    }
    case "rloo": {
      const values = inGroups(rewards, groupSize).flatMap(leaveOneOut);
      return { ...summary, advantages: settled(values, options.normalizeAdvantages) };
    }
    case "reinforce++": {
      const returns = completions.map((completion) => tokenReturns(completion));
      const tokenAdvantages = whitenTokens(returns);
      const differ = completions.some(({ penalties }) => penalties !== undefined);
      const advantages = Float64Array.from(tokenAdvantages, mean);
      return { ...summary, advantages, ...(differ && { tokenAdvantages }) };
    }
    case "reinforce++-baseline": {
      const { advantages } = groupAdvantages(rewards, groupSize, "none");
      const returns = completions.map(({ tokens }, i) =>
        new Float64Array(tokens).fill(rewards[i] === null ? Number.NaN : advantages[i]!),
      );
      return { ...summary, advantages: Float64Array.from(whitenTokens(returns), mean) };
    }
    default:
      return advantage satisfies never;
  }
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
  const groups = inGroups(rewards, groupSize);
  const advantages = new Float64Array(rewards.length);
  const groupStds = new Float64Array(groups.length);
  const zeroVariance = groups.map(isConstant);
  const batchStd = sampleStd(present(rewards));
  for (const [g, group] of groups.entries()) {
    if (zeroVariance[g]) continue;
    const baseline = mean(present(group));
    const std = sampleStd(present(group));
    groupStds[g] = std;
    const divisor = scale === "none" ? 1 : (scale === "group" ? std : batchStd) + STD_EPSILON;
    for (const [i, reward] of group.entries()) {
      if (reward !== null) advantages[g * groupSize + i] = (reward - baseline) / divisor;
    }
  }
  return { advantages, groupStds, zeroVariance };
}

/**
 * GDPO: each reward's z-scores within its group, their weighted sum, and the z-score of that over the batch. A score that
 * is null, or the only one of its group, adds nothing. Penalties have no part in it.
 */
function decoupledAdvantages(completions: readonly JudgedCompletion[], groupSize: number): Float64Array {
  const sums = inGroups(completions, groupSize).flatMap((group) => {
    const zScores = scoreColumns(group).map((column) => [
      ...groupAdvantages(column, column.length, "group").advantages,
    ]);
    return group.map(({ reward, scores }, i) =>
      reward === null ? null : scores!.reduce((sum, { weight }, k) => sum + weight * zScores[k]![i]!, 0),
    );
  });
  return settled(sums, true);
}

/** The scores of each reward over the completions of a group. */
function scoreColumns(group: readonly JudgedCompletion[]): (number | null)[][] {
  return group[0]!.scores!.map((_, k) => group.map(({ scores }) => scores![k]!.score));
}

/** R_i − mean of the other rewards of the group; null where there is no other. */
function leaveOneOut(group: readonly (number | null)[]): (number | null)[] {
  const rewards = present(group);
  const total = sumOf(rewards);
  const constant = isConstant(group);
  return group.map((reward) => {
    if (reward === null || rewards.length < 2) return null;
    return constant ? 0 : reward - (total - reward) / (rewards.length - 1);
  });
}

/** Σ_{i ≥ t} of what token i earns: minus its penalty, and the reward at the last. NaN where nothing was judged. */
function tokenReturns({ reward, tokens, penalties }: JudgedCompletion): Float64Array {
  const returns = new Float64Array(tokens);
  let left = reward ?? Number.NaN;
  for (let t = tokens - 1; t >= 0; t--) {
    left -= penalties?.[t] ?? 0;
    returns[t] = left;
  }
  return returns;
}

/** Added to the variance over tokens, as in verl and OpenRLHF. */
const VARIANCE_EPSILON = 1e-8;

/** (x − mean) / √(variance + 1e-8) over all tokens of all completions, each counted once; NaN becomes 0. */
function whitenTokens(rows: readonly Float64Array[]): Float64Array[] {
  const values = rows.flatMap((row) => [...row]).filter((value) => !Number.isNaN(value));
  const centre = values.every((value) => value === values[0]) ? (values[0] ?? 0) : mean(values);
  const scale = 1 / Math.sqrt(sampleStd(values) ** 2 + VARIANCE_EPSILON);
  return rows.map((row) => row.map((value) => (Number.isNaN(value) ? 0 : (value - centre) * scale)));
}

/** Zeros for nulls, and where asked the z-scores of the others over the batch. */
function settled(values: readonly (number | null)[], normalize: boolean): Float64Array {
  const judged = present(values);
  const [centre, divisor] = normalize ? [mean(judged), sampleStd(judged) + STD_EPSILON] : [0, 1];
  return Float64Array.from(values, (value) => (value === null ? 0 : (value - centre) / divisor));
}

function inGroups<Item>(items: readonly Item[], groupSize: number): Item[][] {
  if (items.length % groupSize !== 0) {
    throw new RangeError(`${items.length} rewards are not whole groups of ${groupSize}`);
  }
  return Array.from({ length: items.length / groupSize }, (_, g) => items.slice(g * groupSize, (g + 1) * groupSize));
}

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);

/** True where no two judged values differ. */
function isConstant(values: readonly (number | null)[]): boolean {
  const judged = present(values);
  return judged.every((value) => value === judged[0]);
}
