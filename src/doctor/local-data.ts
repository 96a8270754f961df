/** Data sets of the Hub as this machine has them: looked for in the cache, never fetched. */

import { HubError } from "../errors.ts";
import { pinHubReferences } from "../recipe/hub-references.ts";
import type { Recipe } from "../recipe/schema.ts";

/** The recipe with data sets of the Hub found in the cache; undefined where they are not there. */
export async function withLocalData(recipe: Recipe): Promise<Recipe | undefined> {
  const { path, ...model } = recipe.model;
  try {
    const pinned = await pinHubReferences({ ...recipe, model }, { offline: true });
    return { ...pinned, model: recipe.model };
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}
