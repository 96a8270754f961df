/**
 * The resolved recipe as it lies in a run directory. To this layer a recipe is plain JSON; `recipe/` knows what it means.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import { RunDirError } from "../errors.ts";
import { systemReason } from "../files.ts";
import { sortedText } from "./recipe-differences.ts";

const FIRST_LINE = "# Written by aha run: the recipe with every default filled in and every override applied.\n";

/** YAML text of a resolved recipe. */
export function recipeToYaml(recipe: unknown): string {
  return FIRST_LINE + stringify(recipe);
}

/** Whether a file is one of those, and not somebody's own. */
export function isWrittenRecipe(path: string): boolean {
  return existsSync(path) && readFileSync(path, "utf8").startsWith(FIRST_LINE);
}

/** The recipe in a file that holds what `recipeToYaml` wrote. Throws RunDirError where it cannot be read. */
export function readRecipeFile(path: string): unknown {
  try {
    return parse(readFileSync(path, "utf8"), { maxAliasCount: 0 });
  } catch (error) {
    const reason = systemReason(error) ?? "it is not YAML, so something other than Aha has changed it";
    throw new RunDirError(`Cannot read ${path}: ${reason}. Bring the file back, or start another run.`);
  }
}

/** SHA-256 of the recipe's text with sorted keys: the order of keys and comments do not matter. */
export function recipeHash(recipe: unknown): string {
  return createHash("sha256").update(sortedText(recipe)).digest("hex");
}
