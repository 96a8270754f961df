/**
 * R1 in a tab, trained in a real browser: the numbers of Node, on WebAssembly and on WebGPU; what survives the tab, a crash
 * and full storage; what is said where something is missing. The page itself is in `tab.browser.ts`.
 */

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { unzipSync } from "fflate";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeWeb } from "../../release/build-web.ts";
import { serveWeb } from "../../release/serve-web.ts";
import { computingOn } from "../../src/compute/computing.ts";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import { MemoryFolder } from "../../src/folder.ts";
import { openRun } from "../../src/recipe/open-recipe.ts";
import { runRecipe } from "../../src/recipe/run-recipe.ts";
import { FolderRun } from "../../src/run/folder-run.ts";
import type { MetricsRecord, RolloutRecord } from "../../src/run/records.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { tabRecipe } from "../../src/web/tab-recipe.ts";
import { openBrowser, SOFTWARE_WEBGPU } from "./chromium.ts";
import { DrivenWorker, type Heard } from "./tab/driven-worker.ts";

const root = new URL("../../", import.meta.url);
const LONG = 1_800_000;

/** Three steps of each stage; answers differ by their length, so that there are gradients from the first iteration on. */
const SHORT = [
  "rollouts.logprobs=true",
  "evaluation.problems=2",
  "evaluation.maxCompletionTokens=4",
  "stages.cold-start.steps=3",
  "stages.cold-start.batchTokens=256",
  "stages.cold-start.warmupSteps=0",
  "stages.r1-zero.iterations=3",
  "stages.r1-zero.warmupSteps=0",
  "stages.r1-zero.maxCompletionTokens=16",
  "stages.r1-zero.rewards=[{ name: format, weight: 0.2 }, { name: equation, weight: 1 }, { name: soft_overlong, weight: 1, options: { maxTokens: 16, cacheTokens: 15 } }]",
];
/** A model for drivers in software, whose shaders take seconds each to compile. */
const SMALL = [
  ...["hiddenSize=32", "intermediateSize=64", "numLayers=1", "numHeads=2", "numKvHeads=1", "headDim=16"].map(
    (size) => `model.init.${size}`,
  ),
  "evaluation.problems=1",
];
const SETTINGS = { promptsPerIteration: 2, groupSize: 4 };
/** Where to keep it, so that tests see the files. */
const STORE = { store: "tested" };

let browser: Browser;
let served: { readonly url: string; readonly server: Server };
let scratch: string;

beforeAll(async () => {
  await writeWeb();
  served = await serveWeb(0);
  browser = await openBrowser(SOFTWARE_WEBGPU);
  scratch = await mkdtemp(join(tmpdir(), "aha-tab-"));
}, LONG);

afterAll(async () => {
  await browser?.close();
  served?.server.close();
  await rm(scratch, { recursive: true, force: true });
});

/** The same run in Node, on the processors. */
async function runInNode(overrides: readonly string[]): Promise<readonly MetricsRecord[]> {
  const text = await readFile(new URL("recipes/countdown/tiny/recipe.yaml", root), "utf8");
  const recipe = tabRecipe(text, SETTINGS, overrides);
  const folder = new MemoryFolder("memory:run");
  const store = await FolderRun.create(folder, recipe);
  const run = await openRun(recipe, store, { compute: computingOn(CpuDevice.open(1), (path) => folder.at(path)) });
  await runRecipe(run);
  await run.close();
  return store.readLogs().metrics;
}

async function openedWorker(backend: "wasm" | "webgpu", overrides: readonly string[] = SHORT) {
  const worker = await DrivenWorker.inNewContext(browser, served.url, overrides, STORE);
  await worker.say({ type: "open", backend });
  return { worker, ready: await worker.next("ready") };
}

async function downloaded(worker: DrivenWorker) {
  await worker.say({ type: "download" });
  const { blob } = (await worker.next("download")) as unknown as { readonly blob: string };
  return unzipSync(new Uint8Array(Buffer.from(blob, "base64")));
}

const WEIGHTS = "aha-countdown/model.safetensors";

/** A whole run on WebAssembly, undisturbed; other tests compare with it. */
let whole: {
  readonly metrics: readonly MetricsRecord[];
  readonly rollouts: readonly RolloutRecord[];
  readonly group: Heard<"group">;
  readonly files: Record<string, Uint8Array>;
};

async function wholeRun(backend: "wasm" | "webgpu", overrides: readonly string[]) {
  const { worker, ready } = await openedWorker(backend, overrides);
  expect(ready.backend, ready.backendReason).toBe(backend);
  expect(ready.isIsolated).toBe(true);
  await worker.say({ type: "start", from: "random", settings: SETTINGS });
  const group = await worker.next("group", ({ iteration }) => iteration === 3);
  await worker.activity("finished");
  const files = await downloaded(worker);
  const logs = JSON.parse(await worker.textOf(["tested", "run", "logs.json"])) as { metrics: MetricsRecord[] };
  // What was sampled between the last two checkpoints.
  const lines = (await worker.textOf(["tested", "run", "rollouts-000004.jsonl"])).trimEnd().split("\n");
  const rollouts = lines.map((line) => JSON.parse(line) as RolloutRecord);
  await worker.page.context().close();
  return { metrics: logs.metrics, rollouts, group, files };
}

function requireEqual(found: readonly MetricsRecord[], expected: readonly MetricsRecord[], tolerance: number): void {
  expect(found.map(({ stage, step }) => [stage, step])).toEqual(expected.map(({ stage, step }) => [stage, step]));
  const trained = expected.filter(({ stage, grad_norm: norm }) => stage === "r1-zero" && (norm ?? 0) > 0);
  expect(trained).toHaveLength(3);
  for (const [i, row] of expected.entries()) {
    for (const name of ["loss", "grad_norm", "completions/mean_length", "reward"]) {
      const [value, wanted] = [found[i]![name], row[name]] as (number | undefined)[];
      if (wanted === undefined) expect(value).toBeUndefined();
      else {
        const difference = Math.abs(value! - wanted);
        expect(difference, `${row.stage} ${row.step} ${name}: ${value}, in Node ${wanted}`).toBeLessThan(
          tolerance * (1 + Math.abs(wanted)),
        );
      }
    }
  }
}

beforeAll(async () => {
  whole = await wholeRun("wasm", SHORT);
}, LONG);

describe("three steps of each stage", () => {
  it("give Node's losses on WebAssembly", async () => {
    requireEqual(whole.metrics, await runInNode(SHORT), 2e-5);
  });

  it(
    "give Node's losses on WebGPU",
    async () => {
      const overrides = [...SHORT, ...SMALL];
      const { metrics } = await wholeRun("webgpu", overrides);
      requireEqual(metrics, await runInNode(overrides), 1e-4);
    },
    LONG,
  );

  it(
    "leave a model that `aha model score` reads, with the log-probabilities of the tab",
    async () => {
      const { files, group } = whole;
      for (const [path, bytes] of Object.entries(files)) {
        await mkdir(dirname(join(scratch, path)), { recursive: true });
        await writeFile(join(scratch, path), bytes);
      }
      const tokenizer = buildTokenizer("countdown-compact");
      const rows = whole.rollouts.filter(({ iteration, prompt }) => iteration === 2 && prompt === group.prompt);
      const sequences = rows.map(({ prompt, tokens }) => [...tokenizer.encode(prompt), ...tokens!]);
      expect(sequences).toHaveLength(4);
      await writeFile(join(scratch, "tokens.json"), JSON.stringify(sequences));
      const args = [
        "dist/cli/main.js",
        "model",
        "score",
        join(scratch, "aha-countdown"),
        "--tokens",
        join(scratch, "tokens.json"),
        "--json",
      ];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
      const scored = JSON.parse(stdout) as number[][];
      for (const [i, { tokens }] of group.completions.entries()) {
        const found = scored[i]!.slice(-tokens.length);
        // The group was scored after the last step: by the weights that were saved.
        for (const [t, { after }] of tokens.entries()) expect(Math.abs(found[t]! - after!)).toBeLessThan(1e-4);
      }
    },
    LONG,
  );
});

describe("what was saved", () => {
  it(
    "goes on after pauses, a page that was loaded again, and a crash, to the same bytes",
    async () => {
      const { worker } = await openedWorker("wasm");
      await worker.say({ type: "start", from: "random", settings: SETTINGS, iterations: 2 });
      await worker.activity("paused");
      await worker.say({ type: "resume" });
      await worker.next("iteration", ({ metrics }) => metrics.iteration === 1);
      await worker.next("saved", ({ iteration }) => iteration === 1);
      await worker.reload();
      await worker.say({ type: "open", backend: "wasm" });
      expect((await worker.next("ready")).kept).toMatchObject({ iteration: 1, iterations: 3, from: "random" });
      await worker.say({ type: "start", from: "kept", settings: {} });
      await worker.next("phase", ({ phase, iteration }) => phase === "sampling" && iteration === 2);
      await worker.crash();
      await worker.begin();
      await worker.say({ type: "open", backend: "wasm" });
      const { kept } = await worker.next("ready");
      expect(kept!.iteration).toBeGreaterThanOrEqual(1);
      await worker.say({ type: "start", from: "kept", settings: {} });
      await worker.activity("finished");
      expect(Buffer.compare((await downloaded(worker))[WEIGHTS]!, whole.files[WEIGHTS]!)).toBe(0);
      await worker.page.context().close();
    },
    LONG,
  );

  it(
    "is not touched by a browser that freezes the tab in the middle: it goes on to the same bytes",
    async () => {
      const { worker } = await openedWorker("wasm");
      await worker.say({ type: "start", from: "random", settings: SETTINGS });
      await worker.next("iteration", ({ metrics }) => metrics.iteration === 1);
      const session = await worker.page.context().newCDPSession(worker.page);
      await session.send("Page.setWebLifecycleState", { state: "frozen" });
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await session.send("Page.setWebLifecycleState", { state: "active" });
      await worker.activity("finished");
      expect(Buffer.compare((await downloaded(worker))[WEIGHTS]!, whole.files[WEIGHTS]!)).toBe(0);
      await worker.page.context().close();
    },
    LONG,
  );

  it(
    "is untouched where storage is full: that is said, and the run goes on when there is room",
    async () => {
      const { worker } = await openedWorker("wasm");
      await worker.say({ type: "start", from: "random", settings: SETTINGS, iterations: 3 });
      await worker.next("saved", ({ iteration }) => iteration === 0);
      await worker.activity("paused");
      const session = await worker.page.context().newCDPSession(worker.page);
      const { origin } = new URL(served.url);
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1000 });
      await worker.say({ type: "resume" });
      expect(await worker.next("error")).toMatchObject({
        kind: "storage",
        isFatal: false,
        message: expect.stringContaining("no room"),
      });
      expect(await worker.next("storage", ({ state }) => state === "full")).toMatchObject({ state: "full" });
      worker.heard.length = 0;
      await session.send("Storage.overrideQuotaForOrigin", { origin });
      await worker.say({ type: "resume" });
      await worker.activity("finished");
      expect(Buffer.compare((await downloaded(worker))[WEIGHTS]!, whole.files[WEIGHTS]!)).toBe(0);
      await worker.page.context().close();
    },
    LONG,
  );

  it(
    "is one tab's: a second one is told",
    async () => {
      const { worker } = await openedWorker("wasm");
      const second = await DrivenWorker.open(worker.page.context(), served.url, SHORT, STORE);
      expect(await second.next("error")).toMatchObject({
        kind: "storage",
        isFatal: true,
        message: expect.stringContaining("Another tab"),
      });
      await worker.page.context().close();
    },
    LONG,
  );
});

describe("what is missing", () => {
  it(
    "is WebGPU: WebAssembly computes, and why is said",
    async () => {
      const plain = await openBrowser(["--disable-gpu", "--disable-features=WebGPU"]);
      try {
        const worker = await DrivenWorker.inNewContext(plain, served.url, SHORT, STORE);
        await worker.say({ type: "open", backend: "webgpu" });
        const { backend, backendReason } = await worker.next("ready");
        expect(backend).toBe("wasm");
        expect(backendReason).toMatch(/so the processors compute/);
      } finally {
        await plain.close();
      }
    },
    LONG,
  );

  it(
    "is isolation: one thread computes; with the service worker the page is isolated, and opens without a network",
    async () => {
      const bare = await serveWeb(0, { headers: {} });
      const context = await browser.newContext();
      try {
        const worker = await DrivenWorker.open(context, bare.url, SHORT, STORE);
        await worker.say({ type: "open", backend: "wasm" });
        expect(await worker.next("ready")).toMatchObject({ isIsolated: false, threads: 1 });
        await worker.say({ type: "start", from: "random", settings: SETTINGS, iterations: 1 });
        await worker.activity("paused");
        await worker.page.close();

        const page = await context.newPage();
        await page.goto(bare.url);
        await page.waitForFunction(() => globalThis.crossOriginIsolated, undefined, { timeout: LONG });
        await page.getByRole("button", { name: "Start", exact: true }).waitFor();
        bare.server.close();
        bare.server.closeAllConnections();
        await page.reload();
        await page.getByRole("button", { name: "Start", exact: true }).waitFor();
        expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
      } finally {
        await context.close();
        bare.server.close();
      }
    },
    LONG,
  );
});
