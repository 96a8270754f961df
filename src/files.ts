/**
 * Files that appear whole or not at all, and reads with a limit on size, so that no file can use up the machine's
 * memory. `run/whole-folder.ts` does the same for folders.
 *
 * A writer that is killed half-way must not leave half a checkpoint behind, so data go to a temporary file in the same
 * folder, are flushed to the disk and only then take their name: POSIX rename replaces atomically. A folder of several
 * files is not one transaction; callers write the file that makes the folder valid last.
 */

import type { FileHandle } from "node:fs/promises";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { AhaError } from "./errors.ts";
import { isLfsPointer, lfsPointerMessage } from "./lfs-pointer.ts";

/** Constructor of the error that a failed read is reported with. */
type ErrorClass = new (message: string) => AhaError;

/** Temporary names start with this, so that what a killed process left behind can be recognised and removed. */
export const TEMPORARY_PREFIX = ".unfinished-";

let temporaryCount = 0;

/** The operating system's reason for a failed call, in words; undefined for anything that is not such an error. */
export function systemReason(error: unknown): string | undefined {
  // Node's own errors about wrong arguments have codes, too, but they do not come from a system call.
  if (!(error instanceof Error) || !("syscall" in error)) return undefined;
  if (!("code" in error) || typeof error.code !== "string") return undefined;
  switch (error.code) {
    case "ENOENT":
      return "it does not exist";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EISDIR":
      return "it is a directory";
    case "ENOTDIR":
      return "a part of its path is not a directory";
    case "ENOSPC":
      return "the disk is full";
    case "EDQUOT":
      return "the disk quota is used up";
    case "EFBIG":
      return "it would be larger than the file system or a limit (ulimit -f) allows";
    case "EIO":
      return "the disk reports an error";
    case "EROFS":
      return "the file system is read-only";
    default:
      return error.code;
  }
}

/**
 * The text of a UTF-8 file of at most `maxBytes`. A file that is missing, unreadable, larger, not UTF-8 or a Git LFS
 * pointer is an error of the class `error`, which names the file.
 */
export async function readTextFile(path: string, limit: { maxBytes: number; error: ErrorClass }): Promise<string> {
  try {
    const found = await stat(path);
    // A pipe or device has no size to check and may never end.
    if (!found.isFile()) throw new limit.error(`${path} is not a regular file.`);
    const { size } = found;
    if (size > limit.maxBytes) {
      throw new limit.error(`${path} has ${size} bytes; at most ${limit.maxBytes} are read. Is it the right file?`);
    }
    const bytes = await readFile(path);
    if (isLfsPointer(bytes)) throw new limit.error(lfsPointerMessage(path));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch (error) {
    if (error instanceof AhaError) throw error;
    if (error instanceof TypeError) throw new limit.error(`${path} is not UTF-8 text.`);
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new limit.error(`Cannot read ${path}: ${reason}.`);
  }
}

/** `readTextFile`, or undefined where there is no such file. */
export async function readTextFileIfPresent(
  path: string,
  limit: { maxBytes: number; error: ErrorClass },
): Promise<string | undefined> {
  try {
    await stat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    // Any other error happens again below, and is reported there.
  }
  return readTextFile(path, limit);
}

/**
 * Creates or replaces `path` with what `write` puts into the open file. Where `write` throws, nothing has changed.
 * A refusal of the operating system (no permission, disk full, no such folder) is an AhaError that names the path.
 */
export async function writeWholeFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `${TEMPORARY_PREFIX}${basename(path)}-${process.pid}-${temporaryCount++}`);
  try {
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw writeFailure(path, error);
  }
}

/** What to throw where `path` could not be written: an AhaError that names it for a refusal of the operating system. */
export function writeFailure(path: string, error: unknown): unknown {
  const reason = systemReason(error);
  if (reason === undefined) return error;
  const message = `Cannot write ${path}: ${reason}. Choose another folder, or make this one writable.`;
  return new AhaError(message, { cause: error });
}

/** `writeWholeFile` for data at hand. */
export function writeWhole(path: string, data: string | Uint8Array): Promise<void> {
  return writeWholeFile(path, async (file) => {
    await file.writeFile(data);
  });
}

/** Makes a rename in this directory durable. Windows has no such call and refuses to open directories. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Aha's folder `name` in the user's cache: below $XDG_CACHE_HOME, else ~/.cache. */
export function cacheFolder(name: string): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "aha", name);
}
