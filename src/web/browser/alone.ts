/** The private file system belongs to one tab at a time. */

import { StorageError } from "../tab-errors.ts";

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
