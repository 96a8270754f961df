/** How long a recipe's held-out evaluations take. */

import { decodingOptions, decodingsAt } from "../recipe/evaluation.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { StageTrial } from "../train/examination.ts";
import { trainers } from "../train/trainers.ts";

/** Completions of all held-out evaluations: before the first stage, after each, and between as often as a stage says. */
export function evaluationCompletions({ stages, evaluation }: Pick<Recipe, "stages" | "evaluation">): number {
  const perProblem = (moment: "after" | "during") =>
    decodingsAt(evaluation, moment).reduce(
      (sum, decoding) => sum + (decodingOptions(evaluation, decoding).samples ?? 1),
      0,
    );
  const during = stages.reduce((sum, stage) => {
    const units = trainers.get(stage.trainer).examination?.units?.(stage) ?? 0;
    return sum + (stage.evaluateEvery === 0 ? 0 : Math.floor((units - 1) / stage.evaluateEvery));
  }, 0);
  return evaluation.problems * ((stages.length + 1) * perProblem("after") + during * perProblem("during"));
}

/** By the speed and the lengths of the first stage that was tried and samples; null without one. */
export function evaluationSeconds(recipe: Recipe, trials: readonly StageTrial[]): number | null {
  const sampling = trials.find((trial) => trial.sampling !== undefined)?.sampling;
  if (sampling === undefined) return null;
  const length = Math.min(sampling.meanCompletionTokens, recipe.evaluation.maxCompletionTokens);
  return (evaluationCompletions(recipe) * length) / sampling.tokensPerSecond;
}
