/** The state of a run that begins where its cold start has ended. */

import type { Computing } from "../compute/computing.ts";
import { openEngine } from "../engine/open.ts";
import type { Folder } from "../folder.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { FolderRun } from "../run/folder-run.ts";
import { writeModelWith } from "./model-files.ts";
import { COLD_START } from "./recipe-controls.ts";

const SEED_MODEL = "seed-model";

/** A checkpoint of a finished cold start with these weights, from which the run goes on as if it had made it itself. */
export async function writeColdStart(
  store: FolderRun,
  folder: Folder,
  compute: Computing,
  recipe: Recipe,
  weights: Uint8Array,
): Promise<void> {
  const stage = recipe.stages.find(({ name }) => name === COLD_START)!;
  const model = folder.folder(SEED_MODEL);
  await writeModelWith(model, recipe, weights);
  const engine = await openEngine(recipe.engine, { path: model.path }, compute);
  try {
    const { steps } = stage as unknown as { readonly steps: number };
    const request = { stage: COLD_START, step: steps, trainerState: {}, stageComplete: true };
    await store.saveCheckpoint({ ...request, keep: recipe.keepCheckpoints }, (place) => engine.saveState(place));
  } finally {
    await engine.dispose();
    await folder.remove(SEED_MODEL);
  }
}
