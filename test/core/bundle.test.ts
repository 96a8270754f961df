/** The core as a browser gets it: a bundle for a platform that has no Node. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { type BuildOptions, build } from "esbuild";
import { describe, expect, it } from "vitest";

const src = fileURLToPath(new URL("../../src", import.meta.url));

async function bundle(contents: string): Promise<string> {
  const options = {
    stdin: { contents, resolveDir: src, loader: "ts" },
    ...{ bundle: true, write: false, format: "iife", globalName: "aha", platform: "browser", target: "es2022" },
    logLevel: "silent",
  } as const satisfies BuildOptions;
  const { outputFiles } = await build(options);
  return outputFiles[0]!.text;
}

describe("a bundle for browsers", () => {
  it("has no module of Node in it, and reads recipes, makes problems and judges answers without Node's globals", async () => {
    const code = await bundle('export * from "./core.ts";');
    expect(code).not.toMatch(/(?:from|import|require)\s*\(?\s*["']node:/);
    // What browsers have and plain JavaScript has not; neither process nor Buffer.
    const globals = {
      TextEncoder,
      TextDecoder,
      crypto,
      performance,
      URL,
      AbortController,
      AbortSignal,
      setTimeout,
      structuredClone,
    };
    const text = await readFile(
      fileURLToPath(new URL("../../recipes/countdown/tiny/recipe.yaml", import.meta.url)),
      "utf8",
    );
    const used = `${code}
      (async () => {
        const recipe = aha.recipeOfText(text, "recipe.yaml");
        const tokenizer = aha.buildTokenizer(recipe.model.init.tokenizer);
        const folder = new aha.MemoryFolder();
        await aha.writeInitialModel(folder, recipe.model.init, recipe.seed);
        const task = await aha.createTask(recipe.task, { seed: recipe.seed });
        const { prompt, columns } = task.trainProblem(0);
        const completion = "<think>…</think>\\n<answer>" + columns.solution + "</answer>";
        const { score } = aha.createReward("equation").judge({ prompt, completion, columns });
        return JSON.stringify({
          files: [...folder.files.keys()].sort(),
          stages: recipe.stages.map(({ trainer }) => trainer),
          prompt: tokenizer.decode(tokenizer.encode(prompt)) === prompt,
          score,
        });
      })()`;
    const result = JSON.parse(await runInNewContext(used, { ...globals, text })) as unknown;
    expect(result).toEqual({
      files: ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
      stages: ["sft", "grpo"],
      prompt: true,
      score: 1,
    });
  });

  it("has none with the devices and the folders of a browser either", async () => {
    const code = await bundle('export * from "./web.ts";');
    expect(code).not.toMatch(/(?:from|import|require)\s*\(?\s*["']node:/);
    const exported = runInNewContext(`${code}; Object.keys(aha)`, {
      ...{ TextEncoder, TextDecoder, URL, AbortController, AbortSignal, setTimeout, performance },
    }) as string[];
    expect(exported).toEqual(expect.arrayContaining(["openWebDevice", "OpfsFolder", "runRecipe", "openEngine"]));
  });

  it("fails where a module of Node is reached", async () => {
    await expect(bundle('export { diskFolder } from "./disk-folder.ts";')).rejects.toThrow(/node:fs\/promises/);
  });
});
