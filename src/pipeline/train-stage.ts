/**
 * A stage that trains: its recipe, run by the program that runs recipes, in a run directory of its own. So it has the
 * same guarantees: it may be killed at any moment, and when it is resumed, it ends with the same bits.
 */

import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { Compute } from "../compute/compute.ts";
import { diskFolder } from "../disk-folder.ts";
import { readsWeights } from "../engine/open.ts";
import { saveMergedModel } from "../model/merge.ts";
import { loadPeftAdapter, openCheckpoint } from "../model/on-disk.ts";
import { deviceOf, pinDevice } from "../recipe/begun-run.ts";
import { pinHubReferences } from "../recipe/hub-references.ts";
import type { RunObserver } from "../recipe/observer.ts";
import { modelDirectoryOf } from "../recipe/on-disk.ts";
import { prepareIn } from "../recipe/prepare-recipe.ts";
import { runRecipe } from "../recipe/run-recipe.ts";
import type { Recipe } from "../recipe/schema.ts";
import { differencesOf } from "../run/recipe-differences.ts";
import { readRecipeFile } from "../run/recipe-file.ts";
import { RunDirectory } from "../run/run-directory.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import { requireWeightFiles } from "./elsewhere.ts";

/** What a training stage is given. */
export interface TrainStageContext {
  /** The stage's folder; need not exist. */
  readonly folder: string;
  /** Where its model belongs. */
  readonly output: string;
  readonly compute: Compute;
  readonly offline: boolean;
  readonly signal: AbortSignal;
  readonly observe: RunObserver;
  /** Called when the run is complete, or given up: writes its page. */
  readonly report: (runPath: string) => Promise<unknown>;
}

/**
 * Trains, or continues the run that was begun in the folder.
 *
 * @throws AhaError of any kind; RunInterrupted where `signal` aborts; the stage can then be continued
 */
export async function runTrainStage(recipe: Recipe, context: TrainStageContext): Promise<void> {
  const { folder, output, compute, offline, signal } = context;
  const begun = existsSync(join(folder, RUN_FILES.recipe));
  if (!existsSync(join(folder, RUN_FILES.summary))) {
    // What is trained elsewhere is folded into the base here: its weights are looked for now, not after hours.
    if (!readsWeights(recipe.engine)) await (await openCheckpoint(await baseDirectory(recipe, folder))).close();
    const recorded = begun ? readRecipeFile(join(folder, RUN_FILES.recipe)) : undefined;
    const withThreads = { ...recipe, engine: { ...recipe.engine, threads: compute.threads } };
    const pinned = await pinDevice(await pinHubReferences(withThreads, { offline, signal }, recorded), recorded);
    const place = { device: deviceOf(pinned) };
    if (!begun) await rm(folder, { recursive: true, force: true });
    const run = begun
      ? await RunDirectory.resume(folder, asBegun(recorded, pinned), place)
      : await RunDirectory.create(folder, pinned, place);
    for (const message of run.warnings) context.observe({ type: "warning", message });
    // The plan has hashed every file that the recipe names.
    const prepared = await prepareIn(run, pinned, { pinsInputs: false, compute });
    try {
      const { engine } = prepared;
      // Before its first step. A reward model is always in this process.
      if (isAdapted(recipe) && "capabilities" in engine) requireWeightFiles(engine);
      await runRecipe(prepared, { signal, observe: context.observe });
    } finally {
      await prepared.close();
    }
  }
  await context.report(folder);
  if (isAdapted(recipe)) await merge(recipe, folder, output);
}

/** It trains an adapter, which is folded into its base. */
const isAdapted = ({ model }: Recipe) => model.lora !== undefined || model.adapter !== undefined;

/**
 * The recipe that a run was begun with, where today's names other places for the same files: the pipeline's directory was
 * moved meanwhile. That the files hold what they held is known, since the stage's hash is what it was.
 */
function asBegun(recorded: unknown, now: Recipe): unknown {
  const isPlace = (value: unknown) => typeof value === "string" && isAbsolute(value);
  const differences = differencesOf(recorded, now);
  return differences.every(({ before, after }) => isPlace(before) && isPlace(after)) ? recorded : now;
}

/** Folds the trained adapter into its base, so that later stages take a model like any other. */
async function merge(recipe: Recipe, folder: string, output: string): Promise<void> {
  const { model } = recipe;
  const base = await baseDirectory(recipe, folder);
  const checkpoint = await openCheckpoint(base);
  try {
    const { lora, values } = await loadPeftAdapter(join(folder, RUN_FILES.model), checkpoint.config);
    await writeWholeFolder(output, async (directory) => {
      await (await loadTokenizer(base, model)).save(diskFolder(directory));
      await saveMergedModel(directory, checkpoint, { lora, values });
    });
  } finally {
    await checkpoint.close();
  }
}

/** The base of an adapter, with its weights. */
async function baseDirectory({ model: { path } }: Recipe, folder: string): Promise<string> {
  return path === undefined ? join(folder, RUN_FILES.initialModel) : modelDirectoryOf(path, { weights: true });
}
