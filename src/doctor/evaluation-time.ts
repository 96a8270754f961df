/** How long a recipe's held-out evaluations take. */

import { decodingOptions, decodingsAt } from "../recipe/evaluation.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { GrpoProbe, SftProbe } from "./probe.ts";

/** Completions of all held-out evaluations: before the first stage, after each, and between as often as a stage says. */
export function evaluationCompletions({ stages, evaluation }: Pick<Recipe, "stages" | "evaluation">): number {
  const perProblem = (moment: "after" | "during") =>
    decodingsAt(evaluation, moment).reduce(
      (sum, decoding) => sum + (decodingOptions(evaluation, decoding).samples ?? 1),
      0,
    );
  const during = stages.reduce((sum, stage) => {
    const units = ("iterations" in stage ? stage.iterations : stage.steps) ?? 0;
    return sum + (stage.evaluateEvery === 0 ? 0 : Math.floor((units - 1) / stage.evaluateEvery));
  }, 0);
  return evaluation.problems * ((stages.length + 1) * perProblem("after") + during * perProblem("during"));
}

/** By the speed and the lengths of the first GRPO stage's probe; null without one. */
export function evaluationSeconds(recipe: Recipe, probes: readonly (GrpoProbe | SftProbe)[]): number | null {
  const grpo = probes.find((one) => one.kind === "grpo");
  if (grpo === undefined) return null;
  const length = Math.min(grpo.meanCompletionTokens, recipe.evaluation.maxCompletionTokens);
  return (evaluationCompletions(recipe) * length) / grpo.samplingTokensPerSecond;
}
