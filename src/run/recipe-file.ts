/**
 * The resolved recipe as it lies in a run directory, and what differs between two of them. To this layer a recipe is
 * plain JSON; `recipe/` knows what it means.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import { RunDirError } from "../errors.ts";
import { systemReason } from "../files.ts";

/** YAML text of a resolved recipe. */
export function recipeToYaml(recipe: unknown): string {
  return `# Written by aha run: the recipe with every default filled in and every override applied.\n${stringify(recipe)}`;
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

/** SHA-256 of the recipe's JSON with sorted keys: the order of keys and comments do not matter. */
export function recipeHash(recipe: unknown): string {
  return createHash("sha256")
    .update(JSON.stringify(sortKeys(recipe)))
    .digest("hex");
}

/** A path at which two recipes differ, and both values; undefined: it is not there. */
export interface RecipeDifference {
  readonly path: readonly string[];
  readonly before: unknown;
  readonly after: unknown;
}

/** Where two recipes differ. */
export function differencesOf(before: unknown, after: unknown, path: readonly string[] = []): RecipeDifference[] {
  if (isBranch(before) && isBranch(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => differencesOf(before[key], after[key], [...path, key]));
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
}

/** Paths at which two recipes differ, e.g. `stages.1.learningRate`, each with both values. */
export function differingKeys(before: unknown, after: unknown): string[] {
  return differencesOf(before, after).map(
    (difference) => `${difference.path.join(".")} was ${show(difference.before)}, now ${show(difference.after)}`,
  );
}

function show(value: unknown): string {
  return value === undefined ? "absent" : JSON.stringify(value);
}

function isBranch(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isBranch(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key])]),
  );
}
