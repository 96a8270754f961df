/**
 * `npm run bench:dashboard`: what a dashboard that somebody looks at costs a run. The same recipe runs in turn with and
 * without one; a client follows its events and asks for the rollouts every second, as an open page does. Measured is the median
 * seconds of an iteration, of all rounds together. Only on a quiet machine.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    iterations: { type: "string", default: "8" },
    recipe: { type: "string", default: "recipes/countdown/tiny/recipe.yaml" },
  },
});
const PROGRAM = new URL("../dist/cli/main.js", import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), "aha-bench-"));

/** Seconds of each iteration but the first, which warms up. */
async function run(name: string, withDashboard: boolean): Promise<number[]> {
  const out = join(root, name);
  const settings = [
    `stages.r1-zero.iterations=${values.iterations}`,
    "stages.cold-start.steps=50",
    "evaluation.problems=8",
  ];
  const args = ["run", values.recipe, "--out", out, "--json", ...settings.flatMap((setting) => ["--set", setting])];
  const child = spawn(process.execPath, [PROGRAM, ...args, ...(withDashboard ? ["--dashboard"] : [])], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stop = new AbortController();
  let told = "";
  child.stderr.on("data", (chunk: Buffer) => {
    told += chunk;
    const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(told)?.[0];
    if (url !== undefined && !stop.signal.aborted && look !== undefined) {
      look(url);
      look = undefined;
    }
  });
  let look: ((url: string) => void) | undefined = (url) => void watch(url, stop.signal).catch(() => undefined);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  stop.abort();
  if (code !== 0) throw new Error(`The run ended with ${code}:\n${told}`);
  const rows = readFileSync(join(out, "timings.jsonl"), "utf8").trim().split("\n");
  const seconds = rows.map((row) => JSON.parse(row) as { stage: string; step_time: number });
  return seconds
    .filter(({ stage }) => stage === "r1-zero")
    .map((row) => row.step_time)
    .slice(1);
}

/** What an open page does. */
async function watch(url: string, signal: AbortSignal): Promise<void> {
  const [card] = (await (await fetch(`${url}api/runs`, { signal })).json()) as { id: string }[];
  const id = encodeURIComponent(card!.id);
  const timer = setInterval(() => void fetch(`${url}api/rollouts?id=${id}`, { signal }).catch(() => undefined), 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  const events = await fetch(`${url}api/events?id=${id}`, { signal });
  for await (const _ of events.body!) if (signal.aborted) return;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

try {
  const alone: number[] = [];
  const watched: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    alone.push(...(await run(`alone-${round}`, false)));
    watched.push(...(await run(`watched-${round}`, true)));
  }
  const cost = 100 * (median(watched) / median(alone) - 1);
  console.log(
    `${median(alone).toFixed(3)} s an iteration alone, ${median(watched).toFixed(3)} s watched: ${cost.toFixed(2)} %`,
  );
} finally {
  rmSync(root, { recursive: true, force: true });
}
