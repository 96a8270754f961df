/** The core as a browser gets it: a bundle for a platform that has no Node. */

import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, it } from "vitest";

const entry = fileURLToPath(new URL("../../src/core.ts", import.meta.url));

const bundle = (contents: string) =>
  build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("../../src", import.meta.url)), loader: "ts" },
    ...({
      bundle: true,
      write: false,
      format: "esm",
      platform: "browser",
      target: "es2022",
      logLevel: "silent",
    } as const),
  });

it("is bundled without a module of Node", async () => {
  const { outputFiles, errors } = await bundle(`export * from ${JSON.stringify(entry)};`);
  expect(errors).toEqual([]);
  const text = outputFiles[0]!.text;
  expect(text).toContain("trainGrpo");
  expect(text).not.toMatch(/(?:from|import|require)\s*\(?\s*["']node:/);
});

it("would fail with one", async () => {
  await expect(bundle('export { diskFolder } from "./disk-folder.ts";')).rejects.toThrow(/node:fs\/promises/);
});
