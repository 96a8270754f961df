/** Tells weights apart, so that what a server left about one base is not gone on with over another. */

import { createHash } from "node:crypto";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Bytes of a file's beginning and end that are looked at. */
const LOOKED_AT = 2 ** 16;

/** A digest of a model: of a file, or of the weights and the configuration in a directory, by sizes, beginnings and ends. */
export async function baseFingerprint(path: string): Promise<string> {
  const hash = createHash("sha256");
  const isDirectory = (await stat(path)).isDirectory();
  const names = isDirectory
    ? (await readdir(path)).filter((name) => /^config\.json$|\.(safetensors|gguf)$/.test(name))
    : [""];
  for (const name of names.sort()) {
    const file = await open(join(path, name));
    try {
      const { size } = await file.stat();
      const length = Math.min(size, LOOKED_AT);
      const bytes = Buffer.alloc(2 * length);
      await file.read(bytes, 0, length, 0);
      await file.read(bytes, length, length, size - length);
      hash.update(`${name}\0${size}\0`).update(bytes);
    } finally {
      await file.close();
    }
  }
  return hash.digest("hex");
}
