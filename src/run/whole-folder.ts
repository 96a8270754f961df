/**
 * Folders that appear whole or not at all: filled beside their destination under a temporary name, flushed to the disk,
 * then renamed. A reader, or a run that was killed in between, sees the whole old folder, the whole new one, or for a
 * moment, where one takes the place of the other, none. The same for single files is `files.ts`.
 */

import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { syncDirectory, TEMPORARY_PREFIX, writeFailure } from "../files.ts";

/**
 * Lets `write` fill a new folder and then gives it its name; an older folder of that name is replaced. A refusal of the
 * operating system (no permission, disk full) is an AhaError that names the path; then an older folder is still there.
 */
export async function writeWholeFolder<T>(path: string, write: (directory: string) => Promise<T>): Promise<T> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${basename(path)}-${process.pid}`);
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    const result = await write(temporary);
    for (const file of await filesBelow(temporary)) await sync(join(temporary, file));
    await syncDirectory(temporary);
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
    await syncDirectory(dirname(path));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw writeFailure(path, error);
  }
}

/** Every file below a folder, as paths relative to it with forward slashes, sorted. */
export async function filesBelow(directory: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) {
      for (const inner of await filesBelow(join(directory, entry.name))) files.push(`${entry.name}/${inner}`);
    } else {
      files.push(entry.name);
    }
  }
  return files.sort();
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
