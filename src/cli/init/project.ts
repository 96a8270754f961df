/** The folder that `aha init` fills: its files, whole or not at all, and what their paths are called there. */

import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, RunInterrupted } from "../../errors.ts";
import { writeFailure, writeWhole } from "../../files.ts";
import { parseHubReference, type RepositoryKind } from "../../hub/reference.ts";

/** The folder of the package that this is part of: a clone, or node_modules/aha-rl. */
const PACKAGE = fileURLToPath(new URL("../../../", import.meta.url));
const SCHEMA = "recipe.schema.json";

/** A file to write: its name and its text. */
export type ProjectFile = readonly [name: string, text: string];

/** What a path is called in a recipe in `directory`: relative to it; a name on the Hub stays. Throws ConfigError for neither. */
export function pathIn(directory: string, path: string, kind: RepositoryKind): string {
  if (existsSync(path)) {
    if (isAbsolute(path)) return path;
    const inside = relative(resolve(directory), resolve(path)).split(sep).join("/");
    return inside.startsWith("../") ? inside : `./${inside}`;
  }
  if (parseHubReference(path, kind) !== undefined) return path;
  throw new ConfigError(`${path} does not exist, and is no name on the Hub (ORG/NAME).`);
}

/**
 * Where a recipe in `directory` finds the JSON Schema that editors read: in the package where that is in a folder above, as
 * npm installs it and as a clone has it; else it has to be copied beside the recipe.
 */
export function schemaFor(directory: string): { readonly reference: string; readonly copyFrom: string | undefined } {
  const whole = resolve(directory);
  const ofPackage = join(PACKAGE, "schema", SCHEMA);
  const inClone = relative(PACKAGE, whole);
  const isInside = !inClone.startsWith("..") && !isAbsolute(inClone);
  if (isInside) return { reference: slashed(relative(whole, ofPackage)), copyFrom: undefined };
  for (let folder = whole; ; folder = dirname(folder)) {
    const installed = join(folder, "node_modules", "aha-rl", "schema", SCHEMA);
    if (existsSync(installed)) return { reference: slashed(relative(whole, installed)), copyFrom: undefined };
    if (folder === dirname(folder)) return { reference: `./${SCHEMA}`, copyFrom: ofPackage };
  }
}

const slashed = (path: string) => path.split(sep).join("/");

/** @throws ConfigError where a file of that name is there already */
export function requireFree(directory: string, names: readonly string[]): void {
  const taken = names.filter((name) => existsSync(join(directory, name)));
  if (taken.length === 0) return;
  const files = taken.map((name) => join(directory, name)).join(" and ");
  throw new ConfigError(`${files} exists already, and nothing is overwritten. Name another folder with --out.`);
}

/** Files that were written, and how to take them back. */
export interface WrittenProject {
  readonly names: readonly string[];
  /** Removes them, and the folder where it was made for them. */
  readonly undo: () => void;
}

/** Writes the files; where that fails or is stopped, none of them is left. */
export async function writeProject(
  directory: string,
  files: readonly ProjectFile[],
  signal: AbortSignal,
): Promise<WrittenProject> {
  requireFree(
    directory,
    files.map(([name]) => name),
  );
  const done: string[] = [];
  let made: string | undefined;
  const undo = () => {
    for (const path of done) rmSync(path, { force: true });
    if (made !== undefined) removeEmpty(resolve(directory), made);
  };
  try {
    made = mkdirSync(directory, { recursive: true });
    for (const [name, text] of files) {
      if (signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
      const path = join(directory, name);
      await writeWhole(path, text);
      done.push(path);
    }
  } catch (error) {
    undo();
    throw writeFailure(directory, error);
  }
  return { names: files.map(([name]) => name), undo };
}

/** Removes a folder and those above it up to `last`, as far as nothing is in them. */
function removeEmpty(folder: string, last: string): void {
  if (readdirSync(folder).length > 0) return;
  rmdirSync(folder);
  if (folder !== last) removeEmpty(dirname(folder), last);
}

/** The text of the schema to copy. */
export function schemaText(path: string): Promise<string> {
  return readFile(path, "utf8");
}
