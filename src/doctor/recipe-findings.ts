/** Findings that a recipe gives by itself, without its model or a single sample: what its trainers say, and learning rates. */

import { type Finding, inStage, type StageFinding } from "../findings.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import { taskLabels } from "../tasks/registry.ts";
import { trainers } from "../train/trainers.ts";
import type { ModelFigures } from "./diagnosis.ts";
import { DESTRUCTIVE_FACTOR, FAR_FACTOR, usualLearningRates } from "./learning-rate.ts";

/** Every finding of the recipe alone. `model` as far as it is known. */
export function recipeFindings(recipe: Recipe, model: ModelFigures): Finding[] {
  const { stages, evaluation, task } = recipe;
  return stages.flatMap((stage, index) => {
    const around = {
      evaluateEvery: stage.evaluateEvery,
      evaluationTokens: evaluation.maxCompletionTokens,
      taskNames: taskLabels(task),
      contextTokens: model.contextTokens,
    };
    const own = trainers.get(stage.trainer).examination?.findings?.(stage, around) ?? [];
    return [...rateFindings(stage, model, index === 0), ...own].map((finding) => inStage(finding, stage.name));
  });
}

function rateFindings(stage: StageConfig, model: ModelFigures, isFirst: boolean): StageFinding[] {
  const given = trainers.get(stage.trainer).examination?.learningRate?.(stage);
  if (model.parameters === null || given === undefined) return [];
  const random = model.weights === "random" && isFirst;
  const { parameters, adapter } = model;
  const { peak: rate, method } = given;
  const [low, high] = usualLearningRates({ method, parameters, random, adapter });
  if (rate >= low / FAR_FACTOR && rate <= high * FAR_FACTOR) return [];
  const isHigh = rate > high;
  return [
    {
      severity: rate > high * DESTRUCTIVE_FACTOR ? "error" : "warning",
      id: "learning-rate",
      measured:
        `learningRate ${rate}; usual for ${stage.trainer} of ${adapter ? "an adapter on " : ""}${parameters} parameters` +
        `${random ? " with random weights" : ""}: ${low.toExponential(1)} to ${high.toExponential(1)}`,
      why: isHigh ? "steps this large destroy what the model knows" : "steps this small change next to nothing",
      advice: `start with learningRate ${Math.sqrt(low * high).toExponential(1)}`,
    },
  ];
}
