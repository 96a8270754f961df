/**
 * From a checked recipe to one that is ready to run: names on the Hub pinned to commits, the run directory made or opened,
 * model, tokenizer and task open, and every check made that can be made before training. What fails here fails before the
 * first step, and leaves nothing behind.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Compute } from "../compute/compute.ts";
import { computeFor } from "../engine/open.ts";
import { CheckpointError } from "../errors.ts";
import type { ResolveOptions } from "../hub/resolve.ts";
import { readRecipeFile } from "../run/recipe-file.ts";
import { RUN_FILES, RunDirectory } from "../run/run-directory.ts";
import { createTask } from "../tasks/registry.ts";
import { dayOf } from "../tokenizer/format-date.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainers } from "../train/trainers.ts";
import { pinHubReferences } from "./hub-references.ts";
import { pinInputFiles } from "./input-files.ts";
import { modelDirectoryOf, writeInitialModel } from "./model.ts";
import { RunTrackers } from "./run-trackers.ts";
import type { Recipe } from "./schema.ts";
import { pinThreads } from "./threads.ts";
import { modelProgram, type RecipeParts, stageParts, type TrainedEngine } from "./trained-model.ts";

/** A recipe that is open in its run directory, ready to run. */
export interface PreparedRun extends RecipeParts {
  readonly directory: RunDirectory;
  readonly trackers: RunTrackers;
  /** Gives back the engine and the directory's lock. */
  close(): Promise<void>;
}

/** Where a recipe is run. */
export interface PrepareOptions extends Pick<ResolveOptions, "offline" | "signal"> {
  /** The run directory: a new or an empty one, or with `resume` that of an interrupted run. */
  readonly out: string;
  /** Go on with the run that was interrupted there. */
  readonly resume?: boolean;
  /** What is open in this process already. */
  readonly compute?: Compute;
}

/**
 * Prepares a run. The caller closes it in every case.
 *
 * @throws AhaError
 */
export async function prepareRecipe(recipe: Recipe, options: PrepareOptions): Promise<PreparedRun> {
  const { out, resume = false, compute, ...hub } = options;
  const recorded = resume ? recordedRecipe(out) : undefined;
  const pinned = pinThreads(await pinHubReferences(recipe, hub, recorded), recorded);
  const directory = resume ? await RunDirectory.resume(out, pinned) : await RunDirectory.create(out, pinned);
  return prepareIn(directory, pinned, compute && { compute });
}

/** The recipe that the run in `directory` began with; undefined where there is none. Throws RunDirError. */
export function recordedRecipe(directory: string): unknown {
  const path = join(directory, RUN_FILES.recipe);
  return existsSync(path) ? readRecipeFile(path) : undefined;
}

/**
 * Prepares a recipe whose names are pinned in a directory that is open; where it cannot be, a new directory is removed,
 * and a resumed one closed as it was. `pinsInputs`: what the recipe's files hold is recorded, and compared on a resume;
 * false where the caller does this. `compute`: what is open in this process already.
 *
 * @throws AhaError
 */
export async function prepareIn(
  directory: RunDirectory,
  recipe: Recipe,
  { pinsInputs = true, compute }: { readonly pinsInputs?: boolean; readonly compute?: Compute } = {},
): Promise<PreparedRun> {
  const { init, path } = recipe.model;
  try {
    if (pinsInputs) await pinInputFiles(recipe, directory);
    const model = init
      ? await directory.writeFolder(RUN_FILES.initialModel, (folder) => writeInitialModel(folder, init, recipe.seed))
      : await modelDirectoryOf(path!);
    const parts = await openRecipe(recipe, model, compute);
    try {
      for (const check of recipeChecks(parts)) await check();
      const trackers = await RunTrackers.open(recipe, directory);
      const close = async () => {
        await trackers.finish({ state: "interrupted", reason: "It was closed before it was run." });
        directory.close();
        await parts.engine.dispose();
      };
      return { ...parts, directory, trackers, close };
    } catch (error) {
      await parts.engine.dispose();
      throw error;
    }
  } catch (error) {
    if (directory.isNew) directory.discard();
    else directory.close();
    throw error;
  }
}

/** Builds engine, tokenizer and task on the model in `modelDirectory`; the caller disposes of the engine. Throws AhaError. */
export async function openRecipe(recipe: Recipe, modelDirectory: string, opened?: Compute): Promise<RecipeParts> {
  const tokenizer = await loadTokenizer(modelDirectory, recipe.model);
  const now = dayOf(recipe.date);
  const task = await createTask(recipe.task, {
    seed: recipe.seed,
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now }),
  });
  const heldOut = task.heldOut(recipe.evaluation.problems);
  const compute = computeFor(recipe.engine, opened);
  const engine = await modelProgram(recipe).open(recipe, modelDirectory, tokenizer, compute);
  const prepared = { recipe, engine, compute, tokenizer, task, heldOut };
  try {
    requireVocabulary(engine, tokenizer, modelDirectory);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return prepared;
}

/** Every check that can be made before training, each of which throws an AhaError where it fails. */
export function recipeChecks(prepared: RecipeParts): (() => Promise<void>)[] {
  const { recipe } = prepared;
  return [
    async () => modelProgram(recipe).checkEvaluation(prepared),
    ...recipe.stages.map((stage) => async () => trainers.get(stage.trainer).check(stageParts(prepared, stage), stage)),
  ];
}

/** A tokenizer with more tokens than the model's vocabulary is another model's. */
function requireVocabulary({ info }: TrainedEngine, tokenizer: Tokenizer, directory: string): void {
  if (tokenizer.vocabSize <= info.vocabSize) return;
  throw new CheckpointError(
    `${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocabulary ${info.vocabSize}. ` +
      "They belong to two models; put the model's own tokenizer files there.",
  );
}
