/**
 * `npm run soak:tinker -- [--clients 8] [--minutes 10] [--json] [--parts] [--growth]`: clients that sample, train, save and load
 * on one `aha serve --tinker`, the built program, for some minutes. Prints what each got, the server's memory as it went, and ends
 * with code 1 where a request failed, the memory grew, or a client starved. With `--parts` the server's memory is also printed in
 * its parts every ten seconds. With `--growth` so, but after a collection of garbage each time, and then what has grown on the
 * heap from a third of the time to its end; taking snapshots of the heap takes memory itself, so the memory is not judged then.
 */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { diskFolder } from "../src/disk-folder.ts";
import { openTinkerPolicy } from "../src/engine/tinker/open-tinker.ts";
import { ALL_LORA_TARGETS } from "../src/model/lora.ts";
import { Random } from "../src/random.ts";
import { loadRecipe } from "../src/recipe/load.ts";
import { writeInitialModel } from "../src/recipe/model.ts";
import { heapGrowth } from "./heap-growth.ts";
import type { MemoryAnswer, MemoryQuestion } from "./memory-probe.ts";

const PROGRAM = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const RECIPE = fileURLToPath(new URL("../recipes/countdown/smoke/recipe.yaml", import.meta.url));
const PROBE = fileURLToPath(new URL("./memory-probe.ts", import.meta.url));
const NAME = "soaked";
/** Rounds between two saves of a client, each of which is loaded again. */
const SAVE_EVERY = 5;
/** By how much the memory may grow from the first third of the time on: allocators do not give everything back. */
const MOST_GROWTH = 1.15;
const SAMPLES_A_MINUTE = 30;
/** A client with fewer rounds than this share of the mean has starved. */
const LEAST_SHARE = 0.5;

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "8" },
    minutes: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
    parts: { type: "boolean", default: false },
    growth: { type: "boolean", default: false },
  },
});
const clients = Number(values.clients);
const endsAt = performance.now() + 60_000 * Number(values.minutes);

interface ClientRecord {
  rounds: number;
  tokens: number;
  longestMs: number;
  readonly errors: string[];
}

const directory = await mkdtemp(join(tmpdir(), "aha-tinker-soak-"));
const model = join(directory, "model");
await mkdir(model);
await writeInitialModel(diskFolder(model), (await loadRecipe(RECIPE, [])).model.init!, 1);
const options = ["--name", NAME, "--tinker", "--tinker-dir", join(directory, "kept"), "--port", "0", "--json"];
const isProbed = values.parts || values.growth;
const probed = isProbed ? ["--expose-gc", "--import", "tsx", "--import", PROBE] : [];
const server = spawn(process.execPath, [...probed, PROGRAM, "serve", model, ...options], {
  stdio: ["ignore", "pipe", "inherit", ...(isProbed ? (["ipc"] as const) : [])],
});
const [line] = (await once(server.stdout!, "data")) as [Buffer];
const { url } = JSON.parse(line.toString()) as { url: string };
const memory: number[] = [];
const sampling = setInterval(() => void residentMib().then((mib) => memory.push(mib)), 60_000 / SAMPLES_A_MINUTE);
const counts = { rounds: 0 };
const watching = isProbed ? watchParts() : undefined;
const records = await Promise.all(Array.from({ length: clients }, (_, client) => soak(client)));
clearInterval(sampling);
await watching;
server.kill("SIGTERM");
await once(server, "close");
await rm(directory, { recursive: true, force: true });
conclude();

async function soak(client: number): Promise<ClientRecord> {
  const record: ClientRecord = { rounds: 0, tokens: 0, longestMs: 0, errors: [] };
  const random = new Random(client, "soak");
  const lora = { rank: 4, alpha: 8, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
  const policy = await openTinkerPolicy(
    { url, baseModel: NAME, profile: "aha", rank: undefined, patienceSeconds: 120 },
    { path: model, lora, adapterSeed: client },
    diskFolder,
  );
  await policy.freezeReference();
  while (performance.now() < endsAt) {
    const startedAt = performance.now();
    try {
      record.tokens += await round(policy, random, record.rounds);
      if (record.rounds % SAVE_EVERY === SAVE_EVERY - 1) {
        const state = await mkdtemp(join(directory, "state-"));
        await policy.saveState(state);
        await policy.loadState(state);
      }
    } catch (error) {
      record.errors.push((error as Error).message);
    }
    record.rounds++;
    counts.rounds++;
    record.longestMs = Math.max(record.longestMs, performance.now() - startedAt);
  }
  await policy.dispose();
  return record;
}

/** One iteration of GRPO; returns how many tokens were sampled. */
async function round(policy: Awaited<ReturnType<typeof openTinkerPolicy>>, random: Random, iteration: number) {
  const prompts = [0, 1].map((promptId) => ({
    tokens: Int32Array.from({ length: 6 + random.integer(6) }, () => 5 + random.integer(20)),
    numSamples: 4,
    promptId,
  }));
  const maxCompletionTokens = 8 + random.integer(24);
  const samples = await policy.sample(prompts, {
    ...{ temperature: 1, topP: 1, topK: 0, maxCompletionTokens, stopTokenIds: [1], seed: 1, iteration },
  });
  const data = samples
    .filter(({ tokens }) => tokens.length > 0)
    .map(({ promptIndex, tokens, logprobs }) => ({
      promptTokens: prompts[promptIndex]!.tokens,
      completionTokens: tokens,
      weights: new Float32Array(tokens.length).fill(0.1),
      advantages: new Float32Array(tokens.length).fill(random.uniform() - 0.5),
      samplerLogprobs: logprobs,
    }));
  const adam = { learningRate: 1e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
  await policy.score(data, { temperature: 1, policy: "reference" });
  await policy.step(data, { name: "grpo", klCoef: 0, temperature: 1 }, adam);
  return samples.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

async function ask(question: MemoryQuestion): Promise<MemoryAnswer> {
  server.send(question);
  return (await once(server, "message"))[0] as MemoryAnswer;
}

/** Prints the parts of the server's memory until the time is over, and then what has grown on its heap, where it is asked for. */
async function watchParts(): Promise<void> {
  const startedAt = performance.now();
  const [first, last] = [join(directory, "first.heapsnapshot"), join(directory, "last.heapsnapshot")];
  let isTaken = !values.growth;
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1).padStart(7);
  console.error("seconds  rounds     rss    heap  (room) external buffers  native");
  for (;;) {
    const now = performance.now();
    const { rss, heapUsed, heapTotal, external, arrayBuffers } = await ask({ collect: values.growth });
    const parts = [rss, heapUsed, heapTotal, external, arrayBuffers, rss - heapTotal - external].map(mib).join(" ");
    console.error(`${((now - startedAt) / 1000).toFixed(0).padStart(7)} ${String(counts.rounds).padStart(7)} ${parts}`);
    if (now >= endsAt) break;
    if (!isTaken && now - startedAt >= (endsAt - startedAt) / 3) {
      isTaken = true;
      await ask({ collect: true, snapshot: first });
    }
    await sleep(Math.max(0, Math.min(10_000, endsAt - performance.now())));
  }
  if (!values.growth) return;
  await ask({ collect: true, snapshot: last });
  for (const { kind, objects, bytes } of heapGrowth(first, last, 40)) {
    console.error(`${(bytes / 1024).toFixed(0).padStart(8)} KiB ${String(objects).padStart(8)}  ${kind}`);
  }
}

async function residentMib(): Promise<number> {
  const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", `${server.pid}`]);
  return Math.round(Number(stdout.trim()) / 1024);
}

function conclude(): void {
  const errors = records.flatMap((record) => record.errors);
  const mean = records.reduce((sum, { rounds }) => sum + rounds, 0) / clients;
  const least = Math.min(...records.map(({ rounds }) => rounds));
  const third = memory.slice(Math.floor(memory.length / 3));
  const [early, late] = [
    Math.max(...third.slice(0, Math.ceil(third.length / 4))),
    Math.max(...third.slice(-Math.ceil(third.length / 4))),
  ];
  const result = {
    clients,
    minutes: Number(values.minutes),
    rounds: records.map(({ rounds }) => rounds),
    sampledTokens: records.reduce((sum, { tokens }) => sum + tokens, 0),
    longestRoundMs: records.map(({ longestMs }) => Math.round(longestMs)),
    errors: errors.length,
    memoryMib: { early, late, eachMinute: memory.filter((_, i) => i % SAMPLES_A_MINUTE === 0) },
  };
  console.log(values.json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
  for (const message of new Set(errors)) console.error(message);
  const isFlat = values.growth || late <= MOST_GROWTH * early;
  if (errors.length > 0) console.error("FAIL: requests failed");
  if (!isFlat) console.error(`FAIL: the server's memory grew from ${early} to ${late} MiB`);
  if (least < LEAST_SHARE * mean)
    console.error(`FAIL: a client had ${least} rounds where the mean is ${mean.toFixed(1)}`);
  if (errors.length > 0 || !isFlat || least < LEAST_SHARE * mean) process.exitCode = 1;
}
