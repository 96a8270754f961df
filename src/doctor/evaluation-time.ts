/** How long a recipe's held-out evaluations take. */

import { decodingOptions, decodingsAt } from "../recipe/evaluation.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import type { StageTrial } from "../train/examination.ts";
import { trainers } from "../train/trainers.ts";

/**
 * By the speed of the first stage that was tried and samples. Lengths are what it sampled, until a stage has been through
 * that teaches another length. null without a stage that samples.
 */
export function evaluationSeconds(recipe: Recipe, trials: ReadonlyMap<string, StageTrial>): number | null {
  const { stages, evaluation } = recipe;
  const sampling = [...trials.values()].find((trial) => trial.sampling !== undefined)?.sampling;
  if (sampling === undefined) return null;
  let length = sampling.meanCompletionTokens;
  const tokens = (moment: "after" | "during") =>
    evaluation.problems * samplesPerProblem(evaluation, moment) * Math.min(length, evaluation.maxCompletionTokens);
  let sum = tokens("after"); // before the first stage
  for (const stage of stages) {
    length = trials.get(stage.name)?.taughtTokens ?? length;
    sum += evaluationsWithin(stage) * tokens("during") + tokens("after");
  }
  return sum / sampling.tokensPerSecond;
}

/** Completions of a problem in one evaluation. */
function samplesPerProblem(evaluation: Recipe["evaluation"], moment: "after" | "during"): number {
  return decodingsAt(evaluation, moment).reduce(
    (sum, decoding) => sum + (decodingOptions(evaluation, decoding).samples ?? 1),
    0,
  );
}

/** Evaluations between the beginning and the end of a stage. */
function evaluationsWithin(stage: StageConfig): number {
  const units = trainers.get(stage.trainer).examination?.units?.(stage) ?? 0;
  return stage.evaluateEvery === 0 ? 0 : Math.floor((units - 1) / stage.evaluateEvery);
}
