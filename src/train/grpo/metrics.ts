/** Metrics of GRPO that depend on its keys; the others are in `rollout/metrics.ts`. */

import type { JudgedCompletion } from "../../rollout/advantages.ts";
import type { Rollout } from "../../rollout/collect.ts";
import { correctionMetrics, type Metrics, samplerDifference } from "../../rollout/metrics.ts";
import { greatestOf, mean } from "../../statistics.ts";
import type { GrpoConfig } from "./config.ts";
import type { UpdateRow } from "./policy-update.ts";
import type { ScoredRollout } from "./update-rows.ts";

/** Of a corrected sampler: how far it is from the trainer over all completions, and the corrections. */
export function correctedSamplerMetrics(
  scored: readonly ScoredRollout[],
  minibatches: readonly (readonly UpdateRow[])[],
  { samplerCorrection }: GrpoConfig,
): Metrics | undefined {
  if (samplerCorrection === "none") return undefined;
  const corrections = minibatches.flat().map(({ correction }) => correction!);
  return {
    ...samplerDifference(
      scored.map(({ oldLogprobs }) => oldLogprobs!),
      scored.map(({ rollout }) => rollout.samplerLogprobs),
    ),
    ...correctionMetrics(corrections, samplerCorrection.startsWith("sequence")),
  };
}

/** `kl`, the mean over trained tokens, where it is taken from the rewards. */
export function penaltyMetrics(judged: readonly JudgedCompletion[], { klCoef }: GrpoConfig): Metrics {
  const penalties = judged.flatMap((completion) => Array.from(completion.penalties ?? []));
  return penalties.length === 0 ? {} : { kl: mean(penalties) / klCoef };
}

/** By how many iterations the weights that sampled were older than those before the first step, where `old` ones are by one. */
export function stalenessMetrics(rollouts: readonly Rollout[], old: ReadonlySet<Rollout>): Metrics {
  const ages = rollouts.map((rollout) => Number(old.has(rollout)));
  return { "staleness/mean": mean(ages), "staleness/max": greatestOf(ages) };
}
