/** A folder of this machine's disk (`folder.ts`). What the operating system does in part is done again from there. */

import { type FileHandle, mkdir, open, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "./errors.ts";
import { readTextFileIfPresent, systemReason, writeWholeFile } from "./files.ts";
import type { ByteSink, ByteSource, Folder, TextLimit } from "./folder.ts";

/** The most that one call is asked for; systems have limits of their own at 2 GiB. */
const MOST_AT_ONCE = 2 ** 28;

/** Codes of a path at which there is no folder. */
const ABSENT: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR"]);

/** The folder at `path`, which need not exist before something is written. */
export function diskFolder(path: string): Folder {
  return new DiskFolder(path);
}

/** The folder of the file at `path`, and the file's name in it. */
export function diskFile(path: string): readonly [folder: Folder, name: string] {
  return [new DiskFolder(dirname(path)), basename(path)];
}

class DiskFolder implements Folder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  pathOf(name: string): string {
    return join(this.path, name);
  }

  folder(name: string): Folder {
    return new DiskFolder(this.pathOf(name));
  }

  async names(): Promise<readonly string[]> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if (error instanceof Error && "code" in error && ABSENT.has(error.code)) return [];
      const reason = systemReason(error);
      if (reason === undefined) throw error;
      throw new CheckpointError(`Cannot read ${this.path}: ${reason}.`);
    }
  }

  readText(name: string, limit: TextLimit): Promise<string | undefined> {
    return readTextFileIfPresent(this.pathOf(name), limit);
  }

  async open(name: string): Promise<ByteSource> {
    const path = this.pathOf(name);
    let file: FileHandle;
    try {
      file = await open(path, "r");
    } catch (error) {
      const reason = systemReason(error);
      if (reason === undefined) throw error;
      throw new CheckpointError(`Cannot read ${path}: ${reason}.`);
    }
    try {
      const { size } = await file.stat();
      return sourceOf(file, size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async write(name: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
    const path = this.pathOf(name);
    // The folder itself must exist, as for every writer of a model; a folder inside of it is made.
    if (name.includes("/")) await mkdir(dirname(path), { recursive: true });
    await writeWholeFile(path, (file) => write({ write: (bytes) => writeFully(file, bytes) }));
  }

  async remove(name: string): Promise<void> {
    await rm(this.pathOf(name), { recursive: true, force: true });
  }
}

function sourceOf(file: FileHandle, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    read: async (bytes, position) => {
      const { bytesRead } = await file.read(bytes, 0, Math.min(bytes.length, MOST_AT_ONCE), position);
      return bytesRead;
    },
    close: () => file.close(),
  };
}

/** Writes all of `bytes` where the file's writing stands. */
async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(bytes.length - done, MOST_AT_ONCE));
    done += bytesWritten;
  }
}
