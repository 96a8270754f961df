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

/** So long a page that was loaded again waits for the worker of the page before it to be gone. */
const LONGEST_WAIT_MS = 5000;

/**
 * Holds the folder of this name as long as this worker lives.
 *
 * @throws StorageError where another tab holds it
 */
export async function holdAlone(name: string): Promise<void> {
  const { locks } = navigator;
  if (locks === undefined) return;
  const waiting = AbortSignal.timeout(LONGEST_WAIT_MS);
  await new Promise<void>((resolve, reject) => {
    const held = () => {
      resolve();
      // It is given back when the worker ends.
      return new Promise<never>(() => {});
    };
    locks.request(name, { signal: waiting }, held).catch((error: unknown) => {
      if (!waiting.aborted) return reject(error);
      reject(
        new StorageError(
          "Another tab of this page is open, and both would write into one run. Close one of them and reload the other.",
        ),
      );
    });
  });
}
