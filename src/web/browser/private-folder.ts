/** The origin's private file system, where there is one, for one tab at a time. */

import type { DirectoryHandle } from "../opfs-folder.ts";
import { StorageError } from "../tab-errors.ts";

/** The folder of this name; undefined where the browser has none, as in some private windows. */
export async function privateFolder(name: string): Promise<DirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(name, { create: true });
    // What writes needs both; a browser without them keeps nothing.
    const isThere =
      "createSyncAccessHandle" in FileSystemFileHandle.prototype && "move" in FileSystemFileHandle.prototype;
    return isThere ? (folder as unknown as DirectoryHandle) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Holds the folder of this name as long as this worker lives.
 *
 * @throws StorageError where another tab holds it
 */
export async function holdAlone(name: string): Promise<void> {
  const { locks } = navigator;
  if (locks === undefined) return;
  const isHeld = await new Promise<boolean>((resolve, reject) => {
    locks
      .request(name, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        // It is given back when the worker ends.
        return lock === null ? undefined : new Promise(() => {});
      })
      .catch(reject);
  });
  if (isHeld) return;
  throw new StorageError(
    "Another tab of this page is open, and both would write into one run. Close one of them and reload the other.",
  );
}
