/** Files of the page's own, fetched with their progress, checked by size and hash. */

import { LoadError } from "./tab-errors.ts";

/** A file as the build lists it. */
export interface ListedFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** The files that a worker loads (dist/web/files.json). */
export interface ListedFiles {
  readonly wasm: ListedFile;
  readonly webgpu: ListedFile;
  readonly coldStart: ListedFile;
}

/**
 * A file, whole and as the build made it.
 *
 * @throws LoadError where it does not come, or is another
 */
export async function fetchedFile(
  file: ListedFile,
  onLoaded: (loadedBytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(file.bytes);
  let loaded = 0;
  try {
    const response = await fetch(file.path);
    if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status}`);
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (loaded + part.value.length > bytes.length) throw new Error("it is longer than the build made it");
      bytes.set(part.value, loaded);
      loaded += part.value.length;
      onLoaded(loaded);
    }
    if (loaded < bytes.length) throw new Error(`it ends after ${loaded} of ${bytes.length} bytes`);
  } catch (error) {
    throw LoadError.of(file.path, error);
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (sha256 === file.sha256) return bytes;
  throw new LoadError(
    `${file.path} is not the file that this page was built with (SHA-256 ${sha256.slice(0, 12)}…, expected ` +
      `${file.sha256.slice(0, 12)}…). Reload the page without its cache.`,
  );
}
