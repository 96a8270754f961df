/** Recipes from files of this machine's disk: paths in them become absolute, and what needs Node can be named. */

import "../node-entries.ts";
import { dirname } from "node:path";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { checkedRecipe, overriddenRecipe } from "./check.ts";
import { anchoredPaths, recipePaths } from "./recipe-paths.ts";
import type { Recipe } from "./schema.ts";
import { MAX_RECIPE_BYTES } from "./yaml.ts";

/**
 * Reads `path`, applies `overrides` (`a.b=c`), and checks the result. Paths in it become absolute; names on the Hub stay.
 *
 * @throws ConfigError listing every problem
 */
export async function loadRecipe(path: string, overrides: readonly string[] = []): Promise<Recipe> {
  const text = await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError });
  return parseRecipe(text, path, overrides);
}

/** `loadRecipe` for text at hand; `path` names it in errors, and paths in it are relative to its folder. */
export function parseRecipe(text: string, path: string, overrides: readonly string[] = []): Recipe {
  return checkRecipe(overriddenRecipe(text, path, overrides), path);
}

/** Checks a recipe at hand; errors as in `loadRecipe`. */
export function checkRecipe(changed: Readonly<Record<string, unknown>>, path: string): Recipe {
  const recipe = checkedRecipe(changed, path);
  return anchoredPaths(recipe, recipePaths(recipe), dirname(path));
}
