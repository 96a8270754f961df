/**
 * Files of the sources as texts in a bundle. It stands apart from what the API reaches, because its type is esbuild's, which an
 * installed package does not have.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Plugin } from "esbuild";

/** A plugin of esbuild: `raw:train/grpo/grpo.ts` is the text of that file, from the folder `src` on. */
export function rawTexts(src: URL): Plugin {
  return {
    name: "raw",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^raw:/ }, ({ path }) => ({ path: path.slice("raw:".length), namespace: "raw" }));
      onLoad({ filter: /.*/, namespace: "raw" }, async ({ path }) => ({
        contents: await readFile(new URL(path, src), "utf8"),
        loader: "text",
        watchFiles: [fileURLToPath(new URL(path, src))],
      }));
    },
  };
}
