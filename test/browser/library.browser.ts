/** `aha-rl/web` in a real browser: the program of docs/browser.md, bundled as a program of one's own is. */

import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { overriddenRecipe } from "../../src/recipe/check.ts";
import { contentTypeOf } from "../../src/web/headers.ts";
import { documentedExample } from "../web/documented-example.ts";
import { openBrowser } from "./chromium.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const RUNTIME = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs"));
const SHORT = ["stages.cold-start.steps=2", "stages.r1-zero.iterations=2", "evaluation.problems=2"];

let browser: Browser;
let server: Server;
let address: string;

async function bundled(program: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: root, loader: "ts" },
    ...{ bundle: true, write: false, platform: "browser", format: "esm", target: "es2022", logLevel: "silent" },
    alias: { "aha-rl/web": join(root, "src/web.ts") },
  });
  return outputFiles[0]!.text;
}

beforeAll(async () => {
  const smoke = await readFile(join(root, "recipes/countdown/smoke/recipe.yaml"), "utf8");
  const files = new Map<string, string>([
    ["/", "<!doctype html><title>A page of one's own</title>"],
    ["/recipe.yaml", stringify(overriddenRecipe(smoke, "recipe.yaml", SHORT))],
    ["/worker.js", await bundled(documentedExample())],
    [
      "/elsewhere.js",
      await bundled(
        'import { openWebDevice } from "aha-rl/web";\n' +
          "openWebDevice({ files: '/nothing/' }).catch(({ name, message }) => postMessage({ name, message }));",
      ),
    ],
  ]);
  server = createServer(async ({ url = "/" }, response) => {
    const runtime = /^\/ort\/([\w.-]+)$/.exec(url)?.[1];
    const body = runtime === undefined ? files.get(url) : await readFile(join(RUNTIME, runtime));
    response.writeHead(body === undefined ? 404 : 200, {
      "content-type": contentTypeOf(url === "/" ? "index.html" : url),
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
});

/** What a worker says until `enough` messages have come, or it fails. */
async function said(worker: string, enough: number): Promise<Record<string, unknown>[]> {
  const page = await browser.newPage();
  await page.goto(address);
  const messages = await page.evaluate(
    ([script, count]) =>
      new Promise<Record<string, unknown>[]>((resolve, reject) => {
        const heard: Record<string, unknown>[] = [];
        const begun = new Worker(script, { type: "module" });
        begun.onmessage = ({ data }) => {
          if (heard.push(data) === count) resolve(heard);
        };
        begun.onerror = ({ message }) => reject(new Error(message || "the worker cannot be loaded"));
      }),
    [worker, enough] as const,
  );
  await page.close();
  return messages;
}

describe("the program of docs/browser.md", () => {
  it("trains a recipe in a worker of somebody's own page", async () => {
    const rows = await said("/worker.js", 4);
    // Two steps of the cold start, then two iterations.
    expect(rows.slice(0, 2).map(({ step }) => step)).toEqual([1, 2]);
    expect(rows.map(({ iteration }) => iteration)).toEqual([undefined, undefined, 0, 1]);
    for (const { loss } of rows) expect(Number.isFinite(loss)).toBe(true);
  });

  it("is told where the files of ONNX Runtime are not", async () => {
    const [error] = await said("/elsewhere.js", 1);
    expect(error).toMatchObject({
      name: "RuntimeFileError",
      message: expect.stringContaining("onnxruntime-web 1.30.0"),
    });
    expect(error!.message).toContain("/nothing/ort-wasm-simd-threaded.wasm cannot be loaded: the server answers 404");
  });
});
