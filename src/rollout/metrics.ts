/**
 * What an iteration of reinforcement learning looks like in numbers, under the names that TRL's users know
 * (`completions/…`, `rewards/…`, `clip_ratio/…`), and those of ours in the same form (`solve_rate`, `tries/mean`,
 * `task/…`). What it is not: evaluation; these numbers are of training problems, sampled as training samples.
 *
 * Departures from TRL: means over the tokens of an update (`kl`, `entropy`, `clip_ratio/…`) cover the completions that
 * were trained on; groups left out because all their rewards are equal were never scored. `frac_reward_zero_std` is always
 * of groups, before a KL penalty (TRL's is of the deviation that divides), and a group with one judged completion has no
 * variance. A metric that has nothing to be taken over (the terminated length where nothing terminated, the tries of a task
 * that has none) is absent, not 0 or NaN; so is the share of abstentions of a reward that did not abstain.
 */

import {
  type ObjectiveRow,
  type ObjectiveValue,
  type PolicyScores,
  positionsOf,
} from "../losses/evaluate-objective.ts";
import type { PolicyObjective } from "../losses/policy-objective.ts";
import { losses } from "../losses/registry.ts";
import { greatestOf, leastOf, mean, sampleStd } from "../statistics.ts";
import type { Rollout } from "./collect.ts";

/** Numbers by metric name. */
export type Metrics = Record<string, number>;

/** Lengths, rewards and verdicts of the completions of one iteration; `zeroVariance` says of each of their groups whether
 * its rewards are all equal. */
export function rolloutMetrics(rollouts: readonly Rollout[], zeroVariance: readonly boolean[]): Metrics {
  const lengths = rollouts.map(({ tokens }) => tokens.length);
  const terminated = rollouts.filter(({ finishReason }) => finishReason === "stop").map(({ tokens }) => tokens.length);
  const metrics: Metrics = {
    ...spread("completions", "length", lengths),
    "completions/clipped_ratio": 1 - terminated.length / rollouts.length,
    ...spread("completions", "terminated_length", terminated),
  };
  for (const name of namesIn(rollouts, (rollout) => rollout.rewards)) {
    const asked = rollouts.flatMap(({ rewards }) => (rewards[name]?.isForOthers ? [] : (rewards[name] ?? [])));
    const scores = asked.map(({ score }) => score).filter((score) => score !== null);
    if (scores.length > 0) {
      metrics[`rewards/${name}/mean`] = mean(scores);
      metrics[`rewards/${name}/std`] = sampleStd(scores);
    }
    if (scores.length < asked.length) metrics[`rewards/${name}/frac_abstained`] = 1 - scores.length / asked.length;
    if (asked.some(({ isAbandoned }) => isAbandoned)) metrics[`rewards/${name}/abandoned`] = 1;
  }
  const rewards = rollouts.map(({ reward }) => reward).filter((reward) => reward !== null);
  if (rewards.length > 0) {
    metrics.reward = mean(rewards);
    metrics.reward_std = sampleStd(rewards);
  }
  metrics.frac_reward_zero_std = mean(zeroVariance.map(Number));
  metrics.frac_reward_abstained = 1 - rewards.length / rollouts.length;
  const canBeSolved = rollouts.some(({ verdict }) => !verdict.isUnjudged);
  if (canBeSolved) metrics.solve_rate = mean(rollouts.map(({ verdict }) => Number(verdict.solved)));
  metrics.format_rate = mean(rollouts.map(({ verdict }) => Number(verdict.wellFormed)));
  const tries = rollouts.map(({ verdict }) => verdict.tries).filter((count) => count !== undefined);
  if (tries.length > 0) metrics["tries/mean"] = mean(tries);
  for (const name of namesIn(rollouts, (rollout) => rollout.verdict.statistics)) {
    if (name === "judged" && !canBeSolved) continue;
    const values = rollouts.map(({ verdict }) => verdict.statistics[name]);
    metrics[`task/${name}`] = mean(values.filter((value) => value !== undefined));
  }
  return metrics;
}

/** What one optimizer step's update saw. */
export interface UpdateView {
  readonly objective: PolicyObjective;
  readonly rows: readonly ObjectiveRow[];
  readonly value: ObjectiveValue;
  readonly scores: PolicyScores;
}

/**
 * What TRL reports of an update: `entropy` and `kl`, means over tokens; with an entropy bonus `policy_loss`, the loss without
 * it, and `entropy_coef`; and what the loss says of itself (`PolicyLoss.metrics`): how many ratios it clips, or its weights.
 */
export function updateMetrics({ objective, rows, value, scores }: UpdateView): Metrics {
  const counted = rows.map(({ weights }) => positionsOf(weights));
  const valuesOf = (columns: readonly ArrayLike<number>[]) =>
    counted.flatMap((positions, i) => positions.map((t) => columns[i]![t]!));
  if (counted.every((positions) => positions.length === 0)) return {};
  const kl = value.rows.flatMap((row, i) => (row.kl ? counted[i]!.map((t) => row.kl![t]!) : []));
  return {
    ...(scores.entropies && { entropy: mean(valuesOf(scores.entropies)) }),
    ...(kl.length > 0 ? { kl: mean(kl) } : {}),
    ...(objective.entropyCoef === 0 ? {} : { policy_loss: value.policyLoss, entropy_coef: objective.entropyCoef }),
    ...lossMetrics({ objective, rows, value }, counted),
  };
}

/** The part of `updateMetrics` that depends on the loss. */
function lossMetrics(
  { objective, rows, value }: Pick<UpdateView, "objective" | "rows" | "value">,
  counted: readonly (readonly number[])[],
): Metrics {
  const loss = losses.get(objective.lossType);
  const isShared = loss.ratio === "product" || objective.importanceSamplingLevel === "sequence";
  const seen = counted.map((positions, i) => ({
    ratios: positions.map((t) => Math.exp(value.rows[i]!.logRatios[t]!)),
    advantages: positions.map((t) => rows[i]!.advantages[t]!),
    isShared,
    sequenceWeight: value.rows[i]!.sequenceWeight,
  }));
  return loss.metrics?.(seen, objective.lossOptions) ?? {};
}

/**
 * Mean and maximum of |logπ − logπ_sampler| over the tokens of completions, logπ that of the policy which sampled, as the
 * trainer computes it: anything but rounding is a disagreement between sampler and trainer.
 */
export function samplerDifference(
  logprobs: readonly ArrayLike<number>[],
  samplerLogprobs: readonly ArrayLike<number>[],
): Metrics {
  const differences = logprobs.flatMap((row, i) =>
    Array.from(row, (logprob, t) => Math.abs(logprob - samplerLogprobs[i]![t]!)),
  );
  if (differences.length === 0) return {};
  return {
    "sampling/sampling_logp_difference/mean": mean(differences),
    "sampling/sampling_logp_difference/max": greatestOf(differences),
  };
}

/** Least, mean and greatest ρ of a correction of the sampler: of tokens, or of sequences where `perSequence`. */
export function correctionMetrics(corrections: readonly ArrayLike<number>[], perSequence: boolean): Metrics {
  const ratios = corrections.flatMap((row) => Array.from(row).slice(0, perSequence ? 1 : row.length));
  if (ratios.length === 0) return {};
  return {
    "sampling/importance_sampling_ratio/min": leastOf(ratios),
    "sampling/importance_sampling_ratio/mean": mean(ratios),
    "sampling/importance_sampling_ratio/max": greatestOf(ratios),
  };
}

/** The updates of one iteration in one row: the mean of each metric over the updates that have it, as TRL averages the
 * steps between two lines of its log. */
export function mergeUpdates(updates: readonly Metrics[]): Metrics {
  const merged: Metrics = {};
  for (const name of new Set(updates.flatMap((update) => Object.keys(update)))) {
    merged[name] = mean(updates.map((update) => update[name]).filter((value) => value !== undefined));
  }
  return merged;
}

/** `PREFIX/{mean,min,max}_WHAT`, or nothing where there are no values. */
function spread(prefix: string, what: string, values: readonly number[]): Metrics {
  if (values.length === 0) return {};
  return {
    [`${prefix}/mean_${what}`]: mean(values),
    [`${prefix}/min_${what}`]: leastOf(values),
    [`${prefix}/max_${what}`]: greatestOf(values),
  };
}

/** Every key that any rollout's record has, in order of first appearance. */
function namesIn(rollouts: readonly Rollout[], record: (rollout: Rollout) => Readonly<Record<string, unknown>>) {
  return new Set(rollouts.flatMap((rollout) => Object.keys(record(rollout))));
}
