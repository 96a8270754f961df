/**
 * The engine of a recipe where it is not in this process: whether it can be asked, what it has, and what the recipe asks for that
 * it does not have. Nothing is made there.
 */

import { Compute } from "../compute/compute.ts";
import { diskFolder } from "../disk-folder.ts";
import type { EngineLook } from "../engine/engine-kind.ts";
import { engines, lookAtEngine, readsWeights } from "../engine/open.ts";
import { EngineError } from "../errors.ts";
import { recipeChecks } from "../recipe/open-recipe.ts";
import type { Recipe } from "../recipe/schema.ts";
import { policySource, type RecipeParts, type TrainedEngine, trainedKind } from "../recipe/trained-model.ts";
import type { Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { NODE_REACH } from "../train/on-node.ts";
import { trainers } from "../train/trainers.ts";
import type { ExaminedModel } from "./open-model.ts";

/** What it says; undefined: it is in this process, or the model's files that say what to ask for are not here. */
export async function lookElsewhere(recipe: Recipe, model: ExaminedModel): Promise<EngineLook | undefined> {
  if (readsWeights(recipe.engine) || trainedKind(recipe) !== "policy") return undefined;
  return model.inDirectory?.((directory) =>
    lookAtEngine(recipe.engine, policySource(recipe, directory), { folderAt: diskFolder }),
  );
}

/** The model with the context that the engine has for it, where that is shorter. */
export function asServed(model: ExaminedModel, { info }: EngineLook): ExaminedModel {
  const { contextTokens } = model.figures;
  const served = Math.min(contextTokens ?? Number.POSITIVE_INFINITY, info.maxContextTokens);
  return { ...model, figures: { ...model.figures, contextTokens: Number.isFinite(served) ? served : null } };
}

/**
 * The checks that `aha run` makes before it trains, with nothing of the engine but what it says; of stages that need models
 * beside it none, for these would have to be opened.
 */
export function checksElsewhere(
  recipe: Recipe,
  { info, capabilities }: EngineLook,
  { tokenizer, task }: { readonly tokenizer: Tokenizer; readonly task: Task },
): (() => Promise<void>)[] {
  const refuse = () => Promise.reject(new EngineError(`The engine ${info.name} is only looked at.`));
  const engine = { info, capabilities, score: refuse, sample: refuse, dispose: async () => {} };
  const stages = recipe.stages.filter((stage) => !trainers.get(stage.trainer).supportingModels?.(stage).length);
  const parts: RecipeParts = {
    recipe: { ...recipe, stages },
    engine: engine as unknown as TrainedEngine,
    compute: Compute.open({ threads: 1 }),
    reach: NODE_REACH,
    ...{ tokenizer, task, heldOut: task.heldOut(recipe.evaluation.problems) },
  };
  return stages.length === 0 ? [] : recipeChecks(parts);
}

/** Why a recipe's engine cannot train what the recipe trains; undefined: it can. */
export function kindProblem(recipe: Recipe): string | undefined {
  const { kind } = recipe.engine;
  if (trainedKind(recipe) === "policy" || engines.get(kind).openRewardModel !== undefined) return undefined;
  return `The engine ${kind} has no reward models: take another one (engine.kind).`;
}
