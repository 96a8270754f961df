/**
 * Folders in a browser's origin private file system, which survive the tab.
 *
 * A file is written under a name of its own and takes its place when it is whole: what a crash, a closed tab or full storage
 * leaves behind is not among the folder's files. Files are written through synchronous access handles, which workers alone
 * have, and read as blobs, which no writer blocks.
 *
 * The interfaces are what is used of the browser's, so that a test can put something else in their place.
 */

import { AhaError, CheckpointError } from "./errors.ts";
import { type ByteSink, type ByteSource, decodedText, type Folder, namesBelow, type TextLimit } from "./folder.ts";

/** A directory of the browser's (`FileSystemDirectoryHandle`). */
export interface DirectoryHandle {
  getDirectoryHandle(name: string, options?: { readonly create?: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { readonly create?: boolean }): Promise<FileHandle>;
  removeEntry(name: string, options?: { readonly recursive?: boolean }): Promise<void>;
  keys(): AsyncIterable<string>;
}

/** A file of the browser's (`FileSystemFileHandle`). */
export interface FileHandle {
  getFile(): Promise<Blob>;
  createSyncAccessHandle(): Promise<SyncAccessHandle>;
  /** Renames it, over another file where there is one. */
  move(name: string): Promise<void>;
}

/** A file that is open (`FileSystemSyncAccessHandle`). */
export interface SyncAccessHandle {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(bytes: number): void;
  flush(): void;
  close(): void;
}

/** What of the browser's globals opens the private file system. */
const here = globalThis as unknown as {
  readonly navigator?: { readonly storage?: { getDirectory?(): Promise<DirectoryHandle> } };
  readonly FileSystemFileHandle?: { readonly prototype: object };
};

/** The browser has no more room; what was there before is untouched. */
export class StorageFullError extends AhaError {
  override name = "StorageFullError";
}

/** Ends the name of a file that is not whole yet. */
const PARTIAL = ".partial";

/** A folder of the private file system. */
export class OpfsFolder implements Folder {
  readonly path: string;
  readonly #root: DirectoryHandle;
  readonly #names: readonly string[];

  /** The folder that these names lead to from the root; it need not exist. */
  constructor(root: DirectoryHandle, names: readonly string[] = []) {
    this.#root = root;
    this.#names = names;
    this.path = ["opfs:", ...names].join("/");
  }

  /**
   * The folder of this name in the private file system of the page's origin, made where it is not there; undefined where the
   * browser has none that can be written, as in some private windows, and outside of web workers.
   */
  static async open(name: string): Promise<OpfsFolder | undefined> {
    try {
      const root = await here.navigator!.storage!.getDirectory!();
      const folder = await root.getDirectoryHandle(name, { create: true });
      // What writes needs both.
      const { prototype } = here.FileSystemFileHandle!;
      return "createSyncAccessHandle" in prototype && "move" in prototype ? new OpfsFolder(folder) : undefined;
    } catch {
      return undefined;
    }
  }

  pathOf(name: string): string {
    return `${this.path}/${name}`;
  }

  folder(name: string): OpfsFolder {
    return new OpfsFolder(this.#root, [...this.#names, name]);
  }

  /** The folder inside of this one whose `path` this is. Throws AhaError for a path that does not begin with this folder's. */
  at(path: string): OpfsFolder {
    return new OpfsFolder(this.#root, [...this.#names, ...namesBelow(this.path, path)]);
  }

  async names(): Promise<readonly string[]> {
    const directory = await this.#directory();
    const names: string[] = [];
    if (directory) for await (const name of directory.keys()) if (!name.endsWith(PARTIAL)) names.push(name);
    return names;
  }

  async readText(name: string, limit: TextLimit): Promise<string | undefined> {
    const file = await this.#file(name);
    if (file === undefined) return undefined;
    // Of a file that is too large as much is read as shows that it is.
    const bytes = new Uint8Array(await file.slice(0, limit.maxBytes + 1).arrayBuffer());
    return decodedText(bytes, this.pathOf(name), limit);
  }

  async open(name: string): Promise<ByteSource> {
    const file = await this.#file(name);
    if (file === undefined) throw new CheckpointError(`Cannot read ${this.pathOf(name)}: it does not exist.`);
    return {
      sizeBytes: file.size,
      read: async (bytes, position) => {
        const part = new Uint8Array(await file.slice(position, position + bytes.length).arrayBuffer());
        bytes.set(part);
        return part.length;
      },
      close: async () => {},
    };
  }

  async write(name: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
    const partial = name + PARTIAL;
    let directory: DirectoryHandle | undefined;
    try {
      directory = (await this.#directory(true))!;
      const file = await directory.getFileHandle(partial, { create: true });
      await writeWhole(file, write, this.pathOf(name));
      await file.move(name);
    } catch (error) {
      await directory?.removeEntry(partial).catch(() => {});
      throw fullStorage(error, this.pathOf(name));
    }
  }

  async remove(name: string): Promise<void> {
    const directory = await this.#directory();
    await unlessMissing(directory?.removeEntry(name, { recursive: true }));
  }

  async #directory(create = false): Promise<DirectoryHandle | undefined> {
    let directory: DirectoryHandle | undefined = this.#root;
    for (const name of this.#names) directory = await unlessMissing(directory?.getDirectoryHandle(name, { create }));
    return directory;
  }

  async #file(name: string): Promise<Blob | undefined> {
    const directory = await this.#directory();
    const handle = await unlessMissing(directory?.getFileHandle(name));
    return handle?.getFile();
  }
}

async function writeWhole(file: FileHandle, write: (sink: ByteSink) => Promise<void>, path: string): Promise<void> {
  const access = await file.createSyncAccessHandle();
  try {
    access.truncate(0);
    let end = 0;
    await write({
      write: async (bytes) => {
        const written = access.write(bytes, { at: end });
        if (written < bytes.length) throw storageFull(path);
        end += written;
      },
    });
    access.flush();
  } finally {
    access.close();
  }
}

const nameOf = (error: unknown): unknown => (error as { readonly name?: unknown } | null)?.name;

/** What is not there is undefined. */
async function unlessMissing<T>(found: Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (nameOf(error) === "NotFoundError" || nameOf(error) === "TypeMismatchError") return undefined;
    throw error;
  }
}

function storageFull(path: string): StorageFullError {
  return new StorageFullError(
    `There is no room for ${path} in this browser's storage. What was saved before is untouched. ` +
      "Free space on the disk, or let the browser forget data of other pages, and save again.",
  );
}

function fullStorage(error: unknown, path: string): unknown {
  return nameOf(error) === "QuotaExceededError" ? storageFull(path) : error;
}
