/**
 * The smoke recipe on a SkyRL server by the built program: in one go, with the client killed (SIGKILL) at random moments and
 * resumed, and with the server killed under it. A server that computes every batch in one shape computes the same bits each
 * time, so what interrupted runs leave has to be what whole ones leave, byte for byte (but the last digits of a gradient's
 * norm): nothing was trained twice or lost.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Random } from "../../src/random.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import type { SkyrlServer } from "./skyrl-server.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
/**
 * Few steps, a checkpoint after each, the key that the server has no place for, and a reward that differs from one answer of an
 * untrained model to the next.
 */
const OVERRIDES = [
  ...["stages.cold-start.steps=4", "stages.cold-start.checkpointEvery=1", "stages.cold-start.maxGradNorm=0"],
  ...["stages.r1-zero.iterations=3", "stages.r1-zero.maxGradNorm=0", "evaluation.problems=2"],
  "stages.r1-zero.rewards=[{name: soft_overlong, options: {cacheTokens: 60}}]",
];
/** What a run leaves, beside its metrics. */
const FILES = ["rollouts.jsonl", "evaluations.jsonl", "model/adapter_model.safetensors"];
const METRICS = "metrics.jsonl";
/**
 * The norm of a gradient alone is added up over all places for models, in an order that depends on the place that this one has:
 * it may differ by rounding, as a share of it.
 */
const MOST_NORM_ROUNDING = 1e-6;
/** A client is killed after this share of a whole run's time at most, its start included. */
const LONGEST_LIFE = 0.4;

export interface SmokePlace {
  readonly url: string;
  /** The base's directory, and what the server calls it. */
  readonly model: string;
}

export interface Ended {
  /** undefined: it was killed. */
  readonly code: number | undefined;
  readonly seconds: number;
  /** The end of what it wrote to stderr. */
  readonly said: string;
}

/** Runs the recipe in `out`, or goes on with what is there; `lifeMs`: after how long it is killed. */
export async function runSmokeOn(
  { url, model }: SmokePlace,
  out: string,
  { lifeMs, onStart }: { readonly lifeMs?: number; readonly onStart?: (child: ChildProcess) => void } = {},
): Promise<Ended> {
  const set = [
    ...OVERRIDES,
    `model={path: ${JSON.stringify(model)}, lora: {rank: 4, alpha: 32}}`,
    `engine={kind: tinker, url: "${url}", baseModel: ${JSON.stringify(model)}, profile: skyrl, patienceSeconds: 600}`,
  ];
  const options = ["run", SMOKE_RECIPE, "--out", out, ...set.flatMap((item) => ["--set", item])];
  const resume = existsSync(join(out, "recipe.yaml")) ? ["--resume"] : [];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [PROGRAM, ...options, ...resume], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr!.on("data", (bytes: Buffer) => {
    said = (said + bytes.toString()).slice(-1500);
  });
  onStart?.(child);
  const timer = lifeMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), lifeMs);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { code: code ?? undefined, seconds: (performance.now() - startedAt) / 1000, said: said.trim() };
}

/** In what two runs differ: files, and values of metrics. */
export function differing(one: string, other: string): string[] {
  const bytes = (out: string, file: string) => (existsSync(join(out, file)) ? readFileSync(join(out, file)) : null);
  const files = FILES.filter((file) => {
    const [a, b] = [bytes(one, file), bytes(other, file)];
    return a === null || b === null || !a.equals(b);
  });
  const [some, others] = [metricsOf(one), metricsOf(other)];
  if (some.length !== others.length) return [...files, `${METRICS} (${some.length} and ${others.length} rows)`];
  return [
    ...files,
    ...some.flatMap((row, i) =>
      [...new Set([...Object.keys(row), ...Object.keys(others[i]!)])]
        .filter((name) => !isSame(name, row[name], others[i]![name]))
        .map((name) => `${METRICS}, row ${i + 1}, ${name} (${row[name]} and ${others[i]![name]})`),
    ),
  ];
}

function isSame(name: string, one: unknown, other: unknown): boolean {
  if (one === other) return true;
  return name === "grad_norm" && Math.abs(Number(one) / Number(other) - 1) <= MOST_NORM_ROUNDING;
}

function metricsOf(out: string): Record<string, unknown>[] {
  const file = join(out, METRICS);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** How many rows a run has written to its metrics. */
export function rowsOf(out: string): number {
  const file = join(out, METRICS);
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
}

/**
 * Kills the client `kills` times, each time after a random part of a run, and resumes it; a run that comes to its end before is
 * followed by another one. Returns the directories of the runs, whole by then.
 */
export async function killedRuns(
  place: SmokePlace,
  directory: string,
  { kills, wholeSeconds, random }: { readonly kills: number; readonly wholeSeconds: number; readonly random: Random },
): Promise<string[]> {
  const runs: string[] = [];
  for (let killed = 0; killed < kills; ) {
    const out = join(directory, `killed-${runs.length}`);
    runs.push(out);
    for (;;) {
      const lifeMs = killed < kills ? 1000 * wholeSeconds * LONGEST_LIFE * random.uniform() : undefined;
      const { code, said } = await runSmokeOn(place, out, lifeMs === undefined ? {} : { lifeMs });
      if (code === 0) break;
      if (code !== undefined) throw new Error(`a resumed run ended with ${code}: ${said}`);
      killed++;
      console.log(`     killed for the ${killed}. time after ${(lifeMs! / 1000).toFixed(1)} s, rows ${rowsOf(out)}`);
    }
  }
  return runs;
}

/** Kills the server after `afterMs` of a run and begins it anew; what the client then does, and whether it could be resumed. */
export async function runUnderRestart(
  place: SmokePlace,
  out: string,
  server: SkyrlServer,
  afterMs: number,
): Promise<{ readonly first: Ended; readonly resumed: Ended | undefined }> {
  let restarted: Promise<void> = Promise.resolve();
  const first = await runSmokeOn(place, out, {
    onStart: () => {
      restarted = (async () => {
        await new Promise((resolve) => setTimeout(resolve, afterMs));
        await server.stop("SIGKILL");
        console.log(`     the server was killed, rows ${rowsOf(out)}`);
        await server.begin();
        console.log("     the server was begun anew");
      })();
    },
  });
  await restarted;
  return { first, resumed: first.code === 0 ? undefined : await runSmokeOn(place, out) };
}

/** Files to sample from that a server has kept below its directory of checkpoints. */
export function snapshotFiles(checkpoints: string): string[] {
  if (!existsSync(checkpoints)) return [];
  return readdirSync(checkpoints, { recursive: true, encoding: "utf8" }).filter((name) =>
    /sampler_weights.ss\d+_seq\d+\.tar\.gz$/.test(name),
  );
}
