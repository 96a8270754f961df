/** Models and data sets of the Hub in `aha run`: fetched before the run directory is made, with progress. */

import { pinHubReferences } from "../recipe/hub-references.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { CommandContext } from "./command.ts";
import { HubProgress, type HubProgressMode } from "./hub-progress.ts";

/** Surroundings of a run's downloads. */
interface PinOptions {
  readonly context: CommandContext;
  readonly mode: HubProgressMode;
  readonly offline: boolean;
  /** The recipe of the run that is to be resumed: its commits are used again. */
  readonly resumed: unknown;
}

/**
 * The recipe with its names on the Hub pinned to commits that are in the cache.
 *
 * @throws HubError, RunInterrupted
 */
export async function pinRecipe(recipe: Recipe, { context, mode, offline, resumed }: PinOptions): Promise<Recipe> {
  const progress = new HubProgress(context, mode, context.out);
  try {
    const { signal } = context;
    return await pinHubReferences(
      recipe,
      { offline, signal, onProgress: progress.pull, onNote: progress.note },
      resumed,
    );
  } finally {
    progress.end();
  }
}
