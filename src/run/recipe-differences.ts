/** What two resolved recipes differ in. To this layer a recipe is plain JSON. */

import { RunDirError } from "../errors.ts";

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
function differingKeys(before: unknown, after: unknown): string[] {
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

/** The recipe as JSON with sorted keys: equal for equal recipes. */
export function sortedText(recipe: unknown): string {
  return JSON.stringify(sortKeys(recipe));
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

/** Refuses a recipe that is not the one that the run in `path` was begun with. Throws RunDirError. */
export function requireSameRecipe(path: string, before: unknown, now: unknown): void {
  const differences = differingKeys(before, now);
  if (differences.length === 0) return;
  throw new RunDirError(
    `The run in ${path} was begun with another recipe; it can only be resumed with the same one. What differs:\n` +
      differences.map((difference) => `  ${difference}`).join("\n"),
  );
}
