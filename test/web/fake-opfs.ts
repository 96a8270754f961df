/** A private file system in memory, with the errors that browsers throw, and a quota. */

import type { DirectoryHandle, FileHandle } from "../../src/opfs-folder.ts";

/** What a browser throws, by name. */
export class BrowserError extends Error {
  constructor(name: string) {
    super(name);
    this.name = name;
  }
}

/** How many bytes all files together may have. */
export interface Quota {
  bytes: number;
  used: number;
}

type Entry = FakeDirectory | FakeFile;

class FakeFile implements FileHandle {
  bytes = new Uint8Array();
  isOpen = false;
  name: string;
  readonly #parent: FakeDirectory;
  readonly #quota: Quota;

  constructor(name: string, parent: FakeDirectory, quota: Quota) {
    this.name = name;
    this.#parent = parent;
    this.#quota = quota;
  }

  async getFile(): Promise<Blob> {
    return new Blob([this.bytes]);
  }

  async createSyncAccessHandle() {
    if (this.isOpen) throw new BrowserError("NoModificationAllowedError");
    this.isOpen = true;
    return {
      write: (bytes: Uint8Array, { at }: { readonly at: number }): number => {
        const end = at + bytes.length;
        const more = Math.max(0, end - this.bytes.length);
        if (this.#quota.used + more > this.#quota.bytes) throw new BrowserError("QuotaExceededError");
        this.#quota.used += more;
        const grown = new Uint8Array(Math.max(end, this.bytes.length));
        grown.set(this.bytes);
        grown.set(bytes, at);
        this.bytes = grown;
        return bytes.length;
      },
      truncate: (length: number) => {
        this.#quota.used += length - this.bytes.length;
        this.bytes = this.bytes.slice(0, length);
      },
      flush: () => {},
      close: () => {
        this.isOpen = false;
      },
    };
  }

  async move(name: string): Promise<void> {
    if (this.isOpen) throw new BrowserError("NoModificationAllowedError");
    this.#parent.rename(this, name);
  }

  free(): void {
    this.#quota.used -= this.bytes.length;
  }
}

/** A directory in memory. */
export class FakeDirectory implements DirectoryHandle {
  readonly entries = new Map<string, Entry>();
  readonly #quota: Quota;

  constructor(quota: Quota = { bytes: Number.POSITIVE_INFINITY, used: 0 }) {
    this.#quota = quota;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeDirectory> {
    const found = this.entries.get(name);
    if (found instanceof FakeDirectory) return found;
    if (found !== undefined) throw new BrowserError("TypeMismatchError");
    if (!create) throw new BrowserError("NotFoundError");
    const made = new FakeDirectory(this.#quota);
    this.entries.set(name, made);
    return made;
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FileHandle> {
    const found = this.entries.get(name);
    if (found instanceof FakeFile) return found;
    if (found !== undefined) throw new BrowserError("TypeMismatchError");
    if (!create) throw new BrowserError("NotFoundError");
    const made = new FakeFile(name, this, this.#quota);
    this.entries.set(name, made);
    return made;
  }

  async removeEntry(name: string): Promise<void> {
    const found = this.entries.get(name);
    if (found === undefined) throw new BrowserError("NotFoundError");
    found.free();
    this.entries.delete(name);
  }

  async *keys(): AsyncIterable<string> {
    yield* [...this.entries.keys()];
  }

  rename(file: FakeFile, name: string): void {
    const replaced = this.entries.get(name);
    if (replaced !== undefined) replaced.free();
    this.entries.delete(file.name);
    file.name = name;
    this.entries.set(name, file);
  }

  free(): void {
    for (const entry of this.entries.values()) entry.free();
  }
}
