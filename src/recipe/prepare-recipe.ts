/**
 * From a checked recipe to one that is ready to run: names on the Hub pinned to commits, the run directory made or opened,
 * model, tokenizer and task open, and every check made that can be made before training. What fails here fails before the
 * first step, and leaves nothing behind.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Compute } from "../compute/compute.ts";
import { readsWeights } from "../engine/open.ts";
import type { ResolveOptions } from "../hub/resolve.ts";
import { readRecipeFile } from "../run/recipe-file.ts";
import type { RunDirectory } from "../run/run-directory.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { DISK_DATA } from "../tasks/on-disk.ts";
import { NODE_REACH } from "../train/on-node.ts";
import { openRunDirectory } from "./begun-run.ts";
import { pinHubReferences } from "./hub-references.ts";
import { pinInputFiles } from "./input-files.ts";
import { modelDirectoryOf } from "./on-disk.ts";
import { openRecipeParts, openRun, type PreparedRun, type RecipeSurroundings } from "./open-recipe.ts";
import type { Recipe } from "./schema.ts";
import type { RecipeParts } from "./trained-model.ts";

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
export async function prepareRecipe(recipe: Recipe, options: PrepareOptions): Promise<PreparedRun<RunDirectory>> {
  const { out, resume = false, compute, ...hub } = options;
  const recorded = resume ? recordedRecipe(out) : undefined;
  const pinned = await pinHubReferences(recipe, hub, recorded);
  const opened = await openRunDirectory(out, pinned, { resume, recorded });
  return prepareIn(opened.run, opened.recipe, compute && { compute });
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
): Promise<PreparedRun<RunDirectory>> {
  try {
    if (pinsInputs) await pinInputFiles(recipe, directory);
    const weights = readsWeights(recipe.engine);
    return await openRun(recipe, directory, nodeSurroundings(recipe, compute), (path) =>
      modelDirectoryOf(path, { weights }),
    );
  } catch (error) {
    if (directory.isNew) directory.discard();
    else directory.close();
    throw error;
  }
}

/** Builds engine, tokenizer and task on the model in `modelDirectory`; the caller disposes of the engine. Throws AhaError. */
export function openRecipe(recipe: Recipe, modelDirectory: string, opened?: Compute): Promise<RecipeParts> {
  return openRecipeParts(recipe, modelDirectory, nodeSurroundings(recipe, opened));
}

function nodeSurroundings({ engine }: Recipe, opened: Compute | undefined): RecipeSurroundings {
  const compute = opened ?? Compute.open({ threads: engine.threads });
  return { compute, dataReader: DISK_DATA, reach: NODE_REACH };
}
