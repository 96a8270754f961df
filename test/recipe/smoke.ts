/** Runs the smoke recipe in this process, with the real engine. */

import { join } from "node:path";
import { loadRecipe } from "../../src/recipe/load.ts";
import type { RunObserver } from "../../src/recipe/observer.ts";
import { prepareIn } from "../../src/recipe/prepare-recipe.ts";
import { runRecipe } from "../../src/recipe/run-recipe.ts";
import type { Recipe } from "../../src/recipe/schema.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import type { RunSummary } from "../../src/run/summary.ts";

export const SMOKE_RECIPE = join(import.meta.dirname, "../../recipes/countdown/smoke/recipe.yaml");

/** SFT and GRPO on a data set of conversations. */
export const CONVERSATIONS_RECIPE = join(import.meta.dirname, "../../recipes/conversations/smoke/recipe.yaml");

/** SFT and GRPO on school problems, with the accuracy reward. */
export const MATH_RECIPE = join(import.meta.dirname, "../../recipes/math/smoke/recipe.yaml");

/** A reward model from pairs of answers. */
export const REWARD_MODEL_RECIPE = join(import.meta.dirname, "../../recipes/reward-model/smoke/recipe.yaml");

/** Fewer steps than the recipe has: for tests of what happens, not of what is learned. */
export const QUICK = ["stages.cold-start.steps=6", "stages.cold-start.checkpointEvery=2"];

export interface SmokeOptions {
  /** Another recipe than the smoke one. */
  readonly recipe?: string;
  readonly overrides?: readonly string[];
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  readonly observe?: RunObserver;
  /** Puts something between the recipe and the code that reads it. */
  readonly wrap?: (recipe: Recipe) => Recipe;
}

/** Runs, or resumes, in `path`. */
export async function runSmoke(path: string, options: SmokeOptions = {}): Promise<RunSummary> {
  const {
    recipe: file = SMOKE_RECIPE,
    overrides = QUICK,
    resume = false,
    signal = new AbortController().signal,
    wrap = (recipe) => recipe,
  } = options;
  const recipe = await loadRecipe(file, overrides);
  const run = resume ? await RunDirectory.resume(path, recipe) : await RunDirectory.create(path, recipe);
  const prepared = await prepareIn(run, wrap(recipe));
  try {
    return await runRecipe(prepared, { signal, ...(options.observe && { observe: options.observe }) });
  } finally {
    await prepared.close();
  }
}
