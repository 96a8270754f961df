/**
 * A download that is not finished: a file beside its destination that survives its process, so that the next process
 * continues where it ended.
 *
 * Two processes may want the same content at the same time. There is no lock to wait for (Node has none, and the
 * advisory ones fail on some network file systems): each writes into a file of its own, named after host and process,
 * and the first to finish gives it its name. A file whose process is gone is taken over, by a rename, which only one
 * process can win.
 */

import type { Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { syncDirectory } from "../files.ts";
import { processExists } from "../run/run-lock.ts";

/** huggingface_hub's `hf cache prune` removes what is left with this ending. */
const ENDING = ".aha.incomplete";
/**
 * Whether a process of another host is running cannot be known, so its file counts as in use for this long after its
 * last write.
 */
const IN_USE_ELSEWHERE_MS = 600_000;
/** A process with this id may be a later one: after this long without a write, the file's owner counts as gone. */
const IN_USE_HERE_MS = 3_600_000;

/** Names that this process is writing to. */
const ownNames = new Set<string>();
let count = 0;

/** An unfinished file, open for writing. */
export class PartialFile {
  private readonly folder: string;
  private readonly blob: string;
  private readonly name: string;
  private readonly file: FileHandle;
  private size: number;

  private constructor(folder: string, blob: string, name: string, file: FileHandle, size: number) {
    this.folder = folder;
    this.blob = blob;
    this.name = name;
    this.file = file;
    this.size = size;
  }

  /** Opens the unfinished file of `blob` in `folder`: one that a process which is gone left there, or an empty one. */
  static async open(folder: string, blob: string): Promise<PartialFile> {
    const name = `${blob}.${hostLabel()}-${process.pid}-${count++}${ENDING}`;
    ownNames.add(name);
    try {
      const own = join(folder, name);
      for (const left of await abandoned(folder, blob)) {
        const taken = await rename(join(folder, left), own).then(
          () => true,
          () => false,
        );
        if (taken) break;
      }
      const file = await open(own, "a+");
      const { size } = await file.stat();
      return new PartialFile(folder, blob, name, file, size);
    } catch (error) {
      ownNames.delete(name);
      throw error;
    }
  }

  /** Bytes that are there. */
  get sizeBytes(): number {
    return this.size;
  }

  /** Feeds what is there to `hash`. */
  async hashInto(hash: Hash): Promise<void> {
    if (this.size === 0) return;
    const content = createReadStream(join(this.folder, this.name), { start: 0, end: this.size - 1 });
    for await (const chunk of content) hash.update(chunk as Buffer);
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.file.appendFile(chunk);
    this.size += chunk.length;
  }

  /** Forgets what is there. */
  async restart(): Promise<void> {
    await this.file.truncate(0);
    this.size = 0;
  }

  /** Flushes the content to the disk and gives it its name. */
  async finish(): Promise<void> {
    await this.file.sync();
    await this.file.close();
    ownNames.delete(this.name);
    await rename(join(this.folder, this.name), join(this.folder, this.blob));
    await syncDirectory(this.folder);
    for (const left of await abandoned(this.folder, this.blob)) await rm(join(this.folder, left), { force: true });
  }

  /** Leaves the file for a later process. */
  async leave(): Promise<void> {
    await this.file.close();
    ownNames.delete(this.name);
    if (this.size === 0) await rm(join(this.folder, this.name), { force: true });
  }

  /** Removes it: what is in it is wrong. */
  async discard(): Promise<void> {
    await this.file.close();
    ownNames.delete(this.name);
    await rm(join(this.folder, this.name), { force: true });
  }
}

/** The largest unfinished file of `blob` that no process writes to: what a download would go on from. */
export async function resumableBytes(folder: string, blob: string): Promise<number> {
  const [largest] = await abandoned(folder, blob);
  if (largest === undefined) return 0;
  return (await stat(join(folder, largest)).catch(() => undefined))?.size ?? 0;
}

/** Unfinished files of `blob` that no process writes to, the largest first. */
async function abandoned(folder: string, blob: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const found: { name: string; size: number }[] = [];
  for (const name of names) {
    if (!name.startsWith(`${blob}.`) || !name.endsWith(ENDING)) continue;
    const info = await stat(join(folder, name)).catch(() => undefined);
    if (info?.isFile() && !isInUse(name, blob, info.mtimeMs)) found.push({ name, size: info.size });
  }
  return found.sort((a, b) => b.size - a.size).map(({ name }) => name);
}

function isInUse(name: string, blob: string, modifiedMs: number): boolean {
  const owner = name.slice(blob.length + 1, -ENDING.length);
  const match = /^(.*)-(\d+)-\d+$/.exec(owner);
  const ageMs = Date.now() - modifiedMs;
  if (match === null || match[1] !== hostLabel()) return ageMs < IN_USE_ELSEWHERE_MS;
  const pid = Number(match[2]);
  if (pid === process.pid) return ownNames.has(name);
  return processExists(pid) && ageMs < IN_USE_HERE_MS;
}

function hostLabel(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9]/g, "_")
      .slice(0, 40) || "host"
  );
}
