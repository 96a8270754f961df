/**
 * What an iteration of reinforcement learning looks like in numbers, under the names that TRL's users know
 * (`completions/…`, `rewards/…`, `clip_ratio/…`), and those of ours in the same form (`solve_rate`, `tries/mean`,
 * `task/…`). What it is not: evaluation; these numbers are of training problems, sampled as training samples.
 *
 * Departures from TRL: means over the tokens of an update (`kl`, `entropy`, `clip_ratio/…`) cover the completions that
 * were trained on; groups left out because all their rewards are equal were never scored. A metric that has nothing to
 * be taken over (the terminated length where nothing terminated) is absent, not 0 or NaN.
 */

import type { GrpoLoss } from "../losses/loss-spec.ts";
import { type GroupAdvantages, mean, sampleStd } from "./advantages.ts";
import type { Rollout } from "./collect.ts";

/** Numbers by metric name. */
export type Metrics = Record<string, number>;

/** Lengths, rewards and verdicts of the completions of one iteration. */
export function rolloutMetrics(rollouts: readonly Rollout[], groups: GroupAdvantages): Metrics {
  const lengths = rollouts.map(({ tokens }) => tokens.length);
  const terminated = rollouts.filter(({ finishReason }) => finishReason === "stop").map(({ tokens }) => tokens.length);
  const metrics: Metrics = {
    ...spread("completions", "length", lengths),
    "completions/clipped_ratio": 1 - terminated.length / rollouts.length,
    ...spread("completions", "terminated_length", terminated),
  };
  for (const name of namesIn(rollouts, (rollout) => rollout.rewards)) {
    const scores = rollouts.map(({ rewards }) => rewards[name]?.score ?? null).filter((score) => score !== null);
    if (scores.length === 0) continue;
    metrics[`rewards/${name}/mean`] = mean(scores);
    metrics[`rewards/${name}/std`] = sampleStd(scores);
  }
  const rewards = rollouts.map(({ reward }) => reward).filter((reward) => reward !== null);
  if (rewards.length > 0) metrics.reward = mean(rewards);
  metrics.reward_std = mean(groups.groupStds);
  metrics.frac_reward_zero_std = mean(groups.zeroVariance.map(Number));
  metrics.frac_reward_abstained = 1 - rewards.length / rollouts.length;
  metrics.solve_rate = mean(rollouts.map(({ verdict }) => Number(verdict.solved)));
  metrics.format_rate = mean(rollouts.map(({ verdict }) => Number(verdict.wellFormed)));
  metrics["tries/mean"] = mean(rollouts.map(({ verdict }) => verdict.tries));
  for (const name of namesIn(rollouts, (rollout) => rollout.verdict.statistics)) {
    const values = rollouts.map(({ verdict }) => verdict.statistics[name]);
    metrics[`task/${name}`] = mean(values.filter((value) => value !== undefined));
  }
  return metrics;
}

/** What one optimizer step's update saw; per completion, per trained token. */
export interface UpdateView {
  readonly advantages: readonly Float32Array[];
  readonly samplerLogprobs: readonly Float32Array[];
  /** Of the policy as it was when the step's gradient was computed. */
  readonly policyLogprobs: readonly Float32Array[];
  readonly entropies: readonly Float32Array[];
  /** Present where the loss has a KL term. */
  readonly refLogprobs?: readonly Float32Array[];
}

/**
 * Means over the tokens of one update. With r = exp(logπ − logπ_sampler): the shares of tokens whose ratio is clipped
 * from below (r < 1 − ε, A < 0), from above (r > 1 + ε_high, A > 0), or either; the entropy; k3 to the reference.
 */
export function updateMetrics(view: UpdateView, loss: GrpoLoss): Metrics {
  let tokens = 0;
  let low = 0;
  let high = 0;
  let entropy = 0;
  let kl = 0;
  for (const [i, policy] of view.policyLogprobs.entries()) {
    for (let t = 0; t < policy.length; t++) {
      const ratio = Math.exp(policy[t]! - view.samplerLogprobs[i]![t]!);
      const advantage = view.advantages[i]![t]!;
      if (advantage < 0 && ratio < 1 - loss.clipEpsilon) low++;
      if (advantage > 0 && ratio > 1 + loss.clipEpsilonHigh) high++;
      entropy += view.entropies[i]![t]!;
      if (view.refLogprobs) {
        const difference = view.refLogprobs[i]![t]! - policy[t]!;
        kl += Math.exp(difference) - difference - 1;
      }
      tokens++;
    }
  }
  if (tokens === 0) return {};
  return {
    entropy: entropy / tokens,
    ...(view.refLogprobs ? { kl: kl / tokens } : {}),
    "clip_ratio/low": low / tokens,
    "clip_ratio/high": high / tokens,
    "clip_ratio/region": (low + high) / tokens,
  };
}

/**
 * Mean and maximum of |logπ − logπ_sampler| over the tokens of the first update of an iteration, when both are the same
 * policy: anything but rounding is a disagreement between sampler and trainer.
 */
export function samplerDifference(view: Pick<UpdateView, "policyLogprobs" | "samplerLogprobs">): Metrics {
  const differences = view.policyLogprobs.flatMap((policy, i) =>
    Array.from(policy, (logprob, t) => Math.abs(logprob - view.samplerLogprobs[i]![t]!)),
  );
  if (differences.length === 0) return {};
  return {
    "sampling/sampling_logp_difference/mean": mean(differences),
    "sampling/sampling_logp_difference/max": maxOf(differences),
  };
}

/**
 * The updates of one iteration in one row: means, and for the clip ratios the extreme that worries (`low_min`,
 * `high_max`) beside the mean, as TRL names them.
 */
export function mergeUpdates(updates: readonly Metrics[]): Metrics {
  const merged: Metrics = {};
  for (const name of new Set(updates.flatMap((update) => Object.keys(update)))) {
    const values = updates.map((update) => update[name]).filter((value) => value !== undefined);
    if (!name.startsWith("clip_ratio/")) {
      merged[name] = mean(values);
      continue;
    }
    merged[`${name}_mean`] = mean(values);
    if (name === "clip_ratio/low") merged[`${name}_min`] = minOf(values);
    if (name === "clip_ratio/high") merged[`${name}_max`] = maxOf(values);
  }
  return merged;
}

/** `PREFIX/{mean,min,max}_WHAT`, or nothing where there are no values. */
function spread(prefix: string, what: string, values: readonly number[]): Metrics {
  if (values.length === 0) return {};
  return {
    [`${prefix}/mean_${what}`]: mean(values),
    [`${prefix}/min_${what}`]: minOf(values),
    [`${prefix}/max_${what}`]: maxOf(values),
  };
}

/** Every key that any rollout's record has, in order of first appearance. */
function namesIn(rollouts: readonly Rollout[], record: (rollout: Rollout) => Readonly<Record<string, unknown>>) {
  return new Set(rollouts.flatMap((rollout) => Object.keys(record(rollout))));
}

// Not Math.min(...values): a batch has more tokens than a call takes arguments.
const minOf = (values: readonly number[]) => values.reduce((least, value) => Math.min(least, value), Infinity);
const maxOf = (values: readonly number[]) => values.reduce((most, value) => Math.max(most, value), -Infinity);
