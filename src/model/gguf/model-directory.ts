/**
 * A GGUF file where a model directory is expected: the file is imported once, into a directory of the user's cache, and
 * that directory stands for it. It holds float32 weights, so it is larger than a quantised file.
 *
 * The directory's name is a hash of the file's path, size and time of change, so a changed file is imported anew.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { CheckpointError } from "../../errors.ts";
import { cacheFolder, systemReason } from "../../files.ts";
import { writeWholeFolder } from "../../run/whole-folder.ts";
import { type GgufImportOptions, isGgufPath } from "./import.ts";
import { importGguf } from "./on-disk.ts";

/** Part of the name, to be raised when the importer writes something else for the same file. */
const IMPORTER_VERSION = 1;

/**
 * The model directory that `path` stands for: itself, or that of the GGUF file which it names.
 *
 * @throws CheckpointError for a GGUF file that is not there, damaged, or of a model that Aha does not have.
 */
export async function modelDirectory(
  path: string,
  options: Pick<GgufImportOptions, "onProgress"> = {},
): Promise<string> {
  if (!isGgufPath(path)) return path;
  const directory = join(cacheFolder("gguf"), await nameOf(path));
  if (!existsSync(join(directory, "config.json"))) {
    await writeWholeFolder(directory, (temporary) => importGguf(path, temporary, options));
  }
  return directory;
}

async function nameOf(path: string): Promise<string> {
  try {
    const real = await realpath(path);
    const { size, mtimeMs } = await stat(real);
    const identity = JSON.stringify([IMPORTER_VERSION, real, size, mtimeMs]);
    const hash = createHash("sha256").update(identity).digest("hex").slice(0, 16);
    return `${basename(path).replace(/\.gguf$/i, "")}-${hash}`;
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new CheckpointError(`Cannot read ${path}: ${reason}.`);
  }
}
