/**
 * Whether the output of a stage is unchanged. The user may have deleted or edited one of its files; later stages would
 * then make their results from it under a hash that is wrong.
 *
 * Models are large and pipelines are looked at often, so the bytes are read only where the files' sizes or dates are not
 * what they were, as git does with its index. A copy has other dates and the same bytes.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { StageRecord } from "../run/pipeline-records.ts";
import { filesBelow } from "../run/whole-folder.ts";
import { contentHash, isContent } from "./content-hash.ts";

type Output = NonNullable<StageRecord["output"]>;

/** The record of the output at `path`, which lies at `relativePath` in the run directory. */
export async function outputRecord(path: string, type: string, relativePath: string): Promise<Output> {
  return { type, path: relativePath, hash: await contentHash(path), stamp: await stampOf(path) };
}

/** What has become of the output at `path`, in words; undefined: it is as it was made. */
export async function outputFault(path: string, output: Output | undefined): Promise<string | undefined> {
  if (output === undefined || !existsSync(path)) return "what it made is gone";
  if ((await stampOf(path)) === output.stamp || (await contentHash(path)) === output.hash) return undefined;
  return `what it made was changed by hand (${output.path})`;
}

/** Names, sizes and dates of the files in a folder, as one hash. */
async function stampOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await filesBelow(path)).filter(isContent)) {
    const { size, mtimeMs } = await stat(join(path, name));
    hash.update(`${size} ${mtimeMs}  ${name}\n`);
  }
  return hash.digest("hex");
}
