/**
 * Bytes of weight files, read and written completely: if the operating system reads or writes only a part, the rest
 * follows in further calls.
 */

import { type FileHandle, open } from "node:fs/promises";
import { CheckpointError } from "../errors.ts";
import { systemReason } from "../files.ts";

/** The most that one call is asked for; systems have limits of their own at 2 GiB. */
const MOST_AT_ONCE = 2 ** 28;

/**
 * What `build` makes of the file at `path`, open for reading; where it throws, the file is closed again.
 *
 * @throws CheckpointError where the file cannot be opened
 */
export async function openedForReading<T>(path: string, build: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new CheckpointError(`Cannot read ${path}: ${reason}.`);
  }
  try {
    return await build(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Fills `bytes` from `position` on. Throws what `endsEarly` makes where the file ends before that. */
export async function readFully(
  file: FileHandle,
  bytes: Uint8Array,
  position: number,
  endsEarly: () => Error,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, MOST_AT_ONCE);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) throw endsEarly();
    done += bytesRead;
  }
}

/** Writes all of `bytes` where the file's writing stands. */
export async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE));
    done += bytesWritten;
  }
}
