/**
 * The files of this disk that a recipe names: its data, a model directory, rewards of the user's own. What they held
 * when the run began is recorded in the run directory, and a resume is refused where they hold something else now:
 * otherwise it would silently continue with other data. Names on the Hub are pinned to commits instead
 * (`hub-references.ts`); what a reward's file imports is not looked at.
 */

import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import type { RunDirectory } from "../run/run-directory.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { filesBelow } from "../run/whole-folder.ts";
import { localPaths, recipePaths } from "./recipe-paths.ts";
import type { Recipe } from "./schema.ts";

/** Of larger files (a checkpoint's weights) only the size is recorded. */
const MAX_HASHED_BYTES = 64 * 2 ** 20;

/** By path: what a file holds, as far as it is looked at. */
const inputsSchema = z.record(z.string(), z.string());

/**
 * Records the inputs of a new run, or compares those of a resumed one.
 *
 * @throws RunDirError naming every file that has changed since the run began.
 */
export async function pinInputFiles(recipe: Recipe, run: RunDirectory): Promise<void> {
  const path = join(run.path, RUN_FILES.inputs);
  const now = await fingerprints(recipe);
  if (run.isNew) {
    if (Object.keys(now).length > 0) await run.writeText(RUN_FILES.inputs, `${JSON.stringify(now, null, 2)}\n`);
    return;
  }
  if (!existsSync(path)) return;
  const before = inputsSchema.safeParse(parseJson(readFileSync(path, "utf8"), path, RunDirError));
  if (!before.success) throw new RunDirError(`${path} is not as Aha writes it, so something else has changed it.`);
  const names = [...new Set([...Object.keys(before.data), ...Object.keys(now)])];
  const changed = names.filter((name) => before.data[name] !== now[name]);
  if (changed.length === 0) return;
  const what = (name: string) =>
    now[name] === undefined ? "is gone" : before.data[name] === undefined ? "is new" : "has changed";
  throw new RunDirError(
    `The run in ${run.path} cannot be resumed: what it reads is not what it was when it began.\n` +
      `${changed.map((name) => `  ${name} ${what(name)}\n`).join("")}` +
      "Bring the files back as they were, or start another run.",
  );
}

async function fingerprints(recipe: Recipe): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of localPaths(recipePaths(recipe))) {
    if (!existsSync(path)) continue;
    const files = statSync(path).isDirectory() ? (await filesBelow(path)).map((file) => join(path, file)) : [path];
    for (const file of files) if (!basename(file).startsWith(".")) found[file] = await fingerprint(file);
  }
  return found;
}

async function fingerprint(file: string): Promise<string> {
  const { size } = statSync(file);
  if (size > MAX_HASHED_BYTES) return `${size} bytes`;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  return `${size} bytes, sha256 ${hash.digest("hex")}`;
}
