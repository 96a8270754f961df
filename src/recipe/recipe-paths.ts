/** The paths that a recipe names: its model's, its task's, and those of its stages, which their trainers know. */

import { resolve } from "node:path";
import { anchorReference, hubReferenceOf } from "../hub/resolve.ts";
import { type NamedPath, pathAt, pathsBelow, pathsOfItems, valueAt, withPaths } from "../named-paths.ts";
import { taskPaths } from "../tasks/registry.ts";
import { trainers } from "../train/trainers.ts";

/** The paths of a recipe, checked or not. One with a single stage may have its keys at the top. */
export function recipePaths(recipe: unknown): NamedPath[] {
  return [
    ...pathAt(recipe, ["model", "path"], "model", { hub: true }),
    ...pathAt(recipe, ["model", "adapter"], "adapter"),
    ...pathsBelow(["task"], taskPaths(valueAt(recipe, ["task"]))),
    ...stagePaths(recipe),
    ...pathsOfItems(recipe, ["stages"], stagePaths),
  ];
}

function stagePaths(stage: unknown): readonly NamedPath[] {
  const name = valueAt(stage, ["trainer"]);
  return typeof name === "string" ? (trainers.find(name)?.paths?.(stage) ?? []) : [];
}

/** The configuration with its paths absolute, seen from `directory`; names on the Hub stay. */
export function anchoredPaths<T>(config: T, paths: readonly NamedPath[], directory: string): T {
  return withPaths(config, paths, ({ path, kind, hub }) =>
    hub ? anchorReference(path, kind === "model" ? "model" : "dataset", directory) : resolve(directory, path),
  );
}

/** What of the paths lies on this disk: all but names on the Hub. */
export function localPaths(paths: readonly NamedPath[]): string[] {
  const isLocal = ({ path, kind, hub }: NamedPath) =>
    !hub || hubReferenceOf(path, kind === "model" ? "model" : "dataset") === undefined;
  return [...new Set(paths.filter(isLocal).map(({ path }) => path))];
}
