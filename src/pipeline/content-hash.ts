/**
 * Content hashes: what a file or a folder holds, as one SHA-256. A folder's is that of its files' names and hashes, so
 * neither its place nor any date counts. Nothing is left out for its size: two models of one shape differ in nothing
 * else. A data set's `lineage.json` says where its rows came from and is not hashed.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { systemReason } from "../files.ts";
import { filesBelow } from "../run/whole-folder.ts";

/** The hash of what lies at `path`, in hexadecimal. Throws ConfigError where nothing can be read there. */
export async function contentHash(path: string): Promise<string> {
  try {
    if (!(await stat(path)).isDirectory()) return await fileHash(path);
    const hash = createHash("sha256");
    const names = (await filesBelow(path)).filter(isContent);
    for (const name of names) hash.update(`${await fileHash(join(path, name))}  ${name}\n`);
    return hash.digest("hex");
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new ConfigError(`Cannot read ${path}: ${reason}. A stage of the pipeline names it.`);
  }
}

/** Whether a file of a folder, by its name in it, counts: hidden ones (an editor's leftovers, a Hub's notes) do not. */
export function isContent(name: string): boolean {
  return !/(^|\/)\./.test(name) && name !== "lineage.json";
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}
