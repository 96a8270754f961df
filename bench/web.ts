/**
 * `npm run bench:web [-- --iterations N] [--rounds N] [--threads 1,2]`: R1-Zero from the cold start in a browser tab, beside
 * the same iterations by Node's library: tokens a second while sampling and while training, and seconds an iteration. With
 * `--latency`: how soon the page answers somebody who uses it meanwhile.
 *
 * Both run the code of the tab (`src/web/tab-session.ts`) with the same seed, so they compute the same iterations; they differ
 * in the device alone. The first iteration compiles programs and is left out. Each measurement is a process, or a page, of its
 * own; rounds alternate. It needs Chromium, as `npm run test:browser` does.
 */

import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeWeb } from "../release/build-web.ts";
import { serveWeb } from "../release/serve-web.ts";
import { CpuDevice } from "../src/compute/cpu/cpu-device.ts";
import { MemoryFolder } from "../src/folder.ts";
import type { IterationMetrics, WorkerMessage } from "../src/web/protocol.ts";
import { TabSession } from "../src/web/tab-session.ts";
import { openBrowser, openPage } from "../test/browser/chromium.ts";
import { DrivenWorker } from "../test/browser/tab/driven-worker.ts";
import { measuredLatency, quantile } from "../test/browser/tab/latency.ts";
import { median } from "./measure.ts";

const ROOT = new URL("../", import.meta.url);
/** The first evaluation is as short as can be. */
const OVERRIDES = ["evaluation.problems=1", "evaluation.maxCompletionTokens=16"];

interface Speed {
  readonly sampling: number;
  readonly training: number;
  readonly iteration: number;
}

/** Tokens of completions a second; an update reads the same tokens that were sampled. */
function speedOf(iterations: readonly IterationMetrics[]): Speed {
  const measured = iterations.slice(1);
  const rate = (seconds: (metrics: IterationMetrics) => number) =>
    median(measured.map((metrics) => metrics.sampledTokens / seconds(metrics)));
  return {
    sampling: rate(({ samplingSeconds }) => samplingSeconds),
    training: rate(({ updateSeconds }) => updateSeconds),
    iteration: median(measured.map(({ samplingSeconds, updateSeconds }) => samplingSeconds + updateSeconds)),
  };
}

/** In this process, by Node's library. */
async function native(threads: number, iterations: number): Promise<Speed> {
  const found: IterationMetrics[] = [];
  let end = (_: Error | undefined) => {};
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve;
  });
  const session = new TabSession({
    recipeText: await readFile(new URL("recipes/countdown/tiny/recipe.yaml", ROOT), "utf8"),
    ...{ overrides: OVERRIDES, isIsolated: true, isKept: false, folder: new MemoryFolder("memory:tab") },
    openDevice: async () => ({ device: CpuDevice.open(threads), backend: "wasm", threads }),
    coldStart: async () => new Uint8Array(await readFile(new URL("release/cold-start/model.safetensors", ROOT))),
    storage: async () => ({ usedBytes: 0, quotaBytes: 0 }),
    post: (message: WorkerMessage) => {
      if (message.type === "iteration" && found.push(message.metrics) === iterations) end(undefined);
      if (message.type === "error") end(new Error(message.message));
    },
  });
  await session.receive({ type: "open", backend: "wasm" });
  await session.receive({ type: "start", from: "cold-start", settings: {}, iterations });
  const error = await ended;
  if (error) throw error;
  return speedOf(found);
}

/** In a page of Chromium, by WebAssembly. */
async function tab(threads: number, iterations: number): Promise<Speed> {
  const { url, server } = await serveWeb(0);
  const browser = await openBrowser();
  try {
    const worker = await DrivenWorker.inNewContext(browser, url, OVERRIDES, { threads: String(threads) });
    await worker.say({ type: "open", backend: "wasm" });
    const ready = await worker.next("ready");
    if (ready.threads !== threads) throw new Error(`the tab has ${ready.threads} threads, not ${threads}`);
    await worker.say({ type: "start", from: "cold-start", settings: {}, iterations });
    const found: IterationMetrics[] = [];
    while (found.length < iterations) found.push((await worker.next("iteration")).metrics);
    return speedOf(found);
  } finally {
    await browser.close();
    server.close();
  }
}

const KINDS = { native, tab } as const;
type Kind = keyof typeof KINDS;

/** One measurement in a process of its own. */
function measured(kind: Kind, threads: number, iterations: number): Speed {
  const self = fileURLToPath(import.meta.url);
  const args = [
    ...process.execArgv,
    self,
    "--only",
    kind,
    "--threads",
    String(threads),
    "--iterations",
    String(iterations),
  ];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${kind}, ${threads} threads: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Speed;
}

async function compare(threads: readonly number[], iterations: number, rounds: number): Promise<void> {
  await writeWeb();
  const arms = threads.flatMap((count) => (["native", "tab"] as const).map((kind) => ({ kind, threads: count })));
  const found = arms.map((): Speed[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, arm] of arms.entries()) found[i]!.push(measured(arm.kind, arm.threads, iterations));
  }
  console.log("| | threads | sampling, tokens/s | training, tokens/s | an iteration, s | share of native |");
  console.log("|---|---|---|---|---|---|");
  for (const [i, { kind, threads: count }] of arms.entries()) {
    const [sampling, training, iteration] = (["sampling", "training", "iteration"] as const).map((key) =>
      median(found[i]!.map((speed) => speed[key])),
    ) as [number, number, number];
    const beside = found[arms.findIndex((arm) => arm.kind === "native" && arm.threads === count)]!;
    const share = median(beside.map((speed) => speed.iteration)) / iteration;
    const name = kind === "native" ? "Node" : "a tab, WebAssembly";
    const numbers = [sampling.toFixed(0), training.toFixed(0), iteration.toFixed(2), share.toFixed(2)];
    console.log(`| ${[name, count, ...numbers].join(" | ")} |`);
  }
}

/** Uses the page while it trains, with its own choice of threads. */
async function latency(iterations: number): Promise<void> {
  await writeWeb();
  const { url, server } = await serveWeb(0);
  const browser = await openBrowser();
  try {
    const { page } = await openPage(browser);
    page.setDefaultTimeout(120_000);
    await page.goto(url);
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.locator(".rows button").first().waitFor();
    const done = async () => Number(/iteration (\d+) of/.exec(await page.locator(".how-far").innerText())?.[1] ?? 0);
    const found = await measuredLatency(browser, page, async () => (await done()) >= iterations);
    const { answers, longTasks, longestTaskCpu } = found;
    console.log(`${iterations} iterations on ${await page.locator(".place").innerText()}:`);
    console.log(
      `tasks of the page of more than 50 ms: ${longTasks.length}; longest task ${longestTaskCpu.toFixed(0)} ms of CPU`,
    );
    const [median, most, last] = [quantile(found, 0.5), quantile(found, 0.95), quantile(found, 1)];
    console.log(`${answers.length} answers of 16 ms and more: median ${median}, 95 % ${most}, most ${last} ms`);
  } finally {
    await browser.close();
    server.close();
  }
}

const { values } = parseArgs({
  options: {
    iterations: { type: "string", default: "4" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: "1,2" },
    only: { type: "string" },
    latency: { type: "boolean", default: false },
  },
});
const threads = values.threads.split(",").map(Number);
const iterations = Number(values.iterations);
if (values.latency) await latency(iterations);
else if (values.only === undefined) await compare(threads, iterations, Number(values.rounds));
else {
  console.log(JSON.stringify(await KINDS[values.only as Kind](threads[0]!, iterations)));
  process.exit(0);
}
