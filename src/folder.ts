/**
 * Folders of files, wherever they are: on a disk (`disk-folder.ts`), in a browser's storage, in memory. What reads and
 * writes models, tokenizers and engine states is handed one, so that it knows no file system and runs without Node.
 *
 * A file appears whole or not at all; the folder's owner sees to that. Several files are not one transaction: who writes
 * a model writes the file that makes it valid last.
 */

import { AhaError, CheckpointError } from "./errors.ts";
import { isLfsPointer, lfsPointerMessage } from "./lfs-pointer.ts";

/** The most bytes of a text file that are read, and the class of the error where it cannot be. */
export interface TextLimit {
  readonly maxBytes: number;
  readonly error: new (message: string) => AhaError;
}

/** A file that is open for reading. */
export interface ByteSource {
  readonly sizeBytes: number;
  /** Reads from `position` on into the beginning of `bytes`; returns how many bytes there were, 0 at the file's end. */
  read(bytes: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** A file that is being written. */
export interface ByteSink {
  /** Appends all of `bytes`, which the caller may change afterwards. */
  write(bytes: Uint8Array): Promise<void>;
}

/** A folder. */
export interface Folder {
  /** Names it in messages and in files that point to it; for a disk it is an absolute path, or one as it was given. */
  readonly path: string;
  /** Names a file of it, likewise. */
  pathOf(name: string): string;
  /** A folder inside of it, which need not exist. */
  folder(name: string): Folder;
  /** The names of what is in it, in any order; none where the folder does not exist. */
  names(): Promise<readonly string[]>;
  /** A UTF-8 file as text; undefined where there is no such file. Throws `limit.error`, which names the file. */
  readText(name: string, limit: TextLimit): Promise<string | undefined>;
  /** Opens a file. Throws CheckpointError where it cannot be read. The caller closes it. */
  open(name: string): Promise<ByteSource>;
  /** Makes or replaces a file with what `write` puts into it. Where `write` throws, nothing has changed. */
  write(name: string, write: (sink: ByteSink) => Promise<void>): Promise<void>;
  /** Removes a file, or a folder with all that is in it; what is not there is as good as removed. */
  remove(name: string): Promise<void>;
}

/** Finds a folder by what a configuration calls it. */
export type FolderAt = (path: string) => Folder;

/** Writes a whole text file. */
export function writeText(folder: Folder, name: string, text: string): Promise<void> {
  return folder.write(name, (sink) => sink.write(new TextEncoder().encode(text)));
}

/** Writes a value as indented JSON with a line break at its end. */
export function writeJson(folder: Folder, name: string, value: unknown): Promise<void> {
  return writeText(folder, name, `${JSON.stringify(value, null, 2)}\n`);
}

/** What `build` makes of an open file; where it throws, the file is closed again. Throws like `Folder.open`. */
export async function openedFile<T>(folder: Folder, name: string, build: (file: ByteSource) => Promise<T>): Promise<T> {
  const file = await folder.open(name);
  try {
    return await build(file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Fills `bytes` from `position` on. Throws what `endsEarly` makes where the file ends before that. */
export async function readFully(
  file: ByteSource,
  bytes: Uint8Array,
  position: number,
  endsEarly: () => Error,
): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const count = await file.read(bytes.subarray(done), position + done);
    if (count === 0) throw endsEarly();
    done += count;
  }
}

/** The text of bytes that are UTF-8. Throws `limit.error` for bytes that are none, too many, or a Git LFS pointer. */
export function decodedText(bytes: Uint8Array, path: string, limit: TextLimit): string {
  if (bytes.length > limit.maxBytes) {
    throw new limit.error(
      `${path} has ${bytes.length} bytes; at most ${limit.maxBytes} are read. Is it the right file?`,
    );
  }
  if (isLfsPointer(bytes)) throw new limit.error(lfsPointerMessage(path));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new limit.error(`${path} is not UTF-8 text.`);
  }
}

/** The names that lead from the folder `parent` to `path`. Throws AhaError where `path` is not in it. */
export function namesBelow(parent: string, path: string): readonly string[] {
  const [inside, ...names] = path.startsWith(parent) ? path.slice(parent.length).split("/") : [path];
  if (inside !== "") throw new AhaError(`${path} is not in ${parent}.`);
  return names;
}

/** A folder in memory: what is written into it can be read from it, downloaded, or kept elsewhere. */
export class MemoryFolder implements Folder {
  readonly path: string;
  /** The files, by their names. */
  readonly files = new Map<string, Uint8Array>();
  readonly #folders = new Map<string, MemoryFolder>();

  constructor(path = "memory:") {
    this.path = path;
  }

  pathOf(name: string): string {
    return `${this.path}/${name}`;
  }

  folder(name: string): MemoryFolder {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const made = new MemoryFolder(this.pathOf(name));
    this.#folders.set(name, made);
    return made;
  }

  async names(): Promise<readonly string[]> {
    const folders = [...this.#folders].filter(([, folder]) => !folder.#isEmpty).map(([name]) => name);
    return [...this.files.keys(), ...folders];
  }

  /** A folder that was only looked for is not there. */
  get #isEmpty(): boolean {
    return this.files.size === 0 && [...this.#folders.values()].every((folder) => folder.#isEmpty);
  }

  async readText(name: string, limit: TextLimit): Promise<string | undefined> {
    const bytes = this.files.get(name);
    return bytes && decodedText(bytes, this.pathOf(name), limit);
  }

  async open(name: string): Promise<ByteSource> {
    const content = this.files.get(name);
    if (content === undefined) throw new CheckpointError(`Cannot read ${this.pathOf(name)}: it does not exist.`);
    return {
      sizeBytes: content.length,
      read: async (bytes, position) => {
        const part = content.subarray(position, position + bytes.length);
        bytes.set(part);
        return part.length;
      },
      close: async () => {},
    };
  }

  async write(name: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
    const parts: Uint8Array[] = [];
    await write({ write: async (bytes) => void parts.push(bytes.slice()) });
    const content = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const part of parts) {
      content.set(part, end);
      end += part.length;
    }
    this.files.set(name, content);
  }

  async remove(name: string): Promise<void> {
    this.files.delete(name);
    const folder = this.#folders.get(name);
    if (folder !== undefined) folder.#clear();
  }

  /** Emptied and kept: who holds a folder holds its path, as on a disk, and may write there again. */
  #clear(): void {
    this.files.clear();
    for (const folder of this.#folders.values()) folder.#clear();
  }

  /** The folder inside of this one whose `path` this is. Throws AhaError for a path that does not begin with this folder's. */
  at(path: string): MemoryFolder {
    return namesBelow(this.path, path).reduce((folder: MemoryFolder, name) => folder.folder(name), this);
  }
}
