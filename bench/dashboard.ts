/**
 * `npm run bench:dashboard`: what a dashboard that somebody looks at costs a run, and how soon its page is there.
 *
 * The same recipe runs in turn with and without one; a client follows its events and asks for what an open page asks for. Equal
 * seeds do equal work, so every iteration is compared with itself: its median seconds over the rounds, summed up. CPU time of the
 * whole process, the dashboard's thread in it, is printed beside it, because a busy machine changes it less. Then a browser, where
 * there is one, loads the list of these runs and the curves of one. Only on a quiet machine.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Dashboard } from "../src/dashboard/server.ts";
import { findChromium, loadingTime, MISSING_CHROMIUM, openBrowser } from "../test/browser/chromium.ts";
import { median } from "./measure.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    iterations: { type: "string", default: "8" },
    recipe: { type: "string", default: "recipes/countdown/tiny/recipe.yaml" },
    /** The stage that is measured, one of iterations. */
    stage: { type: "string", default: "r1-zero" },
    loads: { type: "string", default: "7" },
  },
});
const PROGRAM = new URL("../dist/cli/main.js", import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), "aha-bench-"));

/** An open page reads no more often, however often it is told of something (`src/page/paced.ts`). */
const PAGE_READS_EVERY_MS = 500;

/** Tells at the end of a process how much CPU time all of its threads took, in microseconds. */
const METER = `data:text/javascript,${encodeURIComponent(`
  import { writeSync } from "node:fs";
  process.on("exit", () => {
    const { user, system } = process.cpuUsage();
    writeSync(2, "\\nCPU " + (user + system) + "\\n");
  });
`)}`;

/** Seconds of each iteration but the first, which warms up, and CPU seconds of the whole. */
interface Measured {
  readonly iterations: readonly number[];
  readonly cpuSeconds: number;
}

async function run(name: string, withDashboard: boolean): Promise<Measured> {
  const out = join(root, name);
  const settings = [
    `stages.${values.stage}.iterations=${values.iterations}`,
    "stages.cold-start.steps=50",
    "evaluation.problems=8",
  ];
  const args = ["run", values.recipe, "--out", out, "--json", ...settings.flatMap((setting) => ["--set", setting])];
  const all = ["--import", METER, PROGRAM, ...args, ...(withDashboard ? ["--dashboard"] : [])];
  const child = spawn(process.execPath, all, { stdio: ["ignore", "ignore", "pipe"] });
  const stop = new AbortController();
  let told = "";
  let look: ((url: string) => void) | undefined = (url) => void watch(url, stop.signal).catch(() => undefined);
  child.stderr.on("data", (chunk: Buffer) => {
    told += chunk;
    const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(told)?.[0];
    if (url === undefined || look === undefined) return;
    look(url);
    look = undefined;
  });
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  stop.abort();
  if (code !== 0) throw new Error(`The run ended with ${code}:\n${told}`);
  if (withDashboard && look !== undefined) throw new Error(`The run had no dashboard:\n${told}`);
  const rows = readFileSync(join(out, "timings.jsonl"), "utf8").trim().split("\n");
  const seconds = rows.map((row) => JSON.parse(row) as { stage: string; step_time: number });
  return {
    iterations: seconds
      .filter(({ stage }) => stage === values.stage)
      .map((row) => row.step_time)
      .slice(1),
    cpuSeconds: Number(/CPU (\d+)/.exec(told)?.[1]) / 1e6,
  };
}

/** What an open page does: it reads the run and its newest completions whenever it is told that something was written. */
async function watch(url: string, signal: AbortSignal): Promise<void> {
  const [card] = (await (await fetch(`${url}api/runs`, { signal })).json()) as { id: string }[];
  const id = encodeURIComponent(card!.id);
  const events = await fetch(`${url}api/events?id=${id}`, { signal });
  let readAt = Number.NEGATIVE_INFINITY;
  for await (const _ of events.body!) {
    if (performance.now() - readAt < PAGE_READS_EVERY_MS) continue;
    readAt = performance.now();
    for (const place of ["run", "rollouts"]) await (await fetch(`${url}api/${place}?id=${id}`, { signal })).text();
  }
}

/** How soon a page is there, in milliseconds, each time in a browser that has seen nothing yet. */
async function loads(): Promise<void> {
  if ((await findChromium()) === undefined)
    return console.log(`How soon the page is there is not measured. ${MISSING_CHROMIUM}`);
  const dashboard = await Dashboard.listen({ roots: [root], from: root, port: 0 });
  const browser = await openBrowser();
  try {
    for (const [what, place, charts] of [
      ["the list of runs", "", 0],
      ["the curves of a run", "run/alone-0", 4],
    ] as const) {
      const times: number[] = [];
      for (let round = 0; round < Number(values.loads); round++) {
        times.push(await loadingTime(browser, new URL(`#/${place}`, dashboard.url).href, charts));
      }
      const all = times.map((time) => time.toFixed(0)).join(", ");
      console.log(`${what}: there after ${median(times).toFixed(0)} ms (${all})`);
    }
  } finally {
    await browser.close();
    await dashboard.close();
  }
}

/** Seconds of all iterations, each the median of the rounds. */
function secondsOf(rounds: readonly Measured[]): number {
  return rounds[0]!.iterations.reduce((sum, _, i) => sum + median(rounds.map(({ iterations }) => iterations[i]!)), 0);
}

const percent = (watched: number, alone: number) => `${(100 * (watched / alone - 1)).toFixed(2)} %`;

try {
  const alone: Measured[] = [];
  const watched: Measured[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    // Each is first every other time: what warms up or tires does so for both.
    const isWatchedFirst = round % 2 === 1;
    for (const isWatched of [isWatchedFirst, !isWatchedFirst]) {
      const measured = await run(`${isWatched ? "watched" : "alone"}-${round}`, isWatched);
      (isWatched ? watched : alone).push(measured);
      const seconds = measured.iterations.reduce((sum, value) => sum + value, 0);
      console.log(
        `round ${round}, ${isWatched ? "watched" : "alone  "}: ${seconds.toFixed(2)} s, CPU ${measured.cpuSeconds.toFixed(2)} s`,
      );
    }
  }
  const count = alone[0]!.iterations.length;
  const [own, seen] = [secondsOf(alone), secondsOf(watched)];
  console.log(
    `${(own / count).toFixed(3)} s an iteration alone, ${(seen / count).toFixed(3)} s watched: ${percent(seen, own)}`,
  );
  const [ownCpu, seenCpu] = [alone, watched].map((rounds) => median(rounds.map(({ cpuSeconds }) => cpuSeconds)));
  console.log(
    `CPU time of the whole process, start included: ${ownCpu!.toFixed(2)} s alone, ${seenCpu!.toFixed(2)} s watched: ${percent(seenCpu!, ownCpu!)}`,
  );
  await loads();
} finally {
  rmSync(root, { recursive: true, force: true });
}
