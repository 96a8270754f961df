/**
 * `npm run test:trackers`: the trackers' own programs read what a run sent them, and every number is there, once and exactly.
 *
 *     TensorBoard   its EventAccumulator, and its server's JSON
 *     trackio       its import of the inbox, and its API
 *     SwanLab       the reader of `swanlab sync`
 *     MLflow        `mlflow server` on SQLite, over REST
 *
 * One run is killed without warning between two checkpoints and resumed; one begins while MLflow's server is down, and is sent
 * the rest by `aha track`; one names no tracker and is sent whole when it is over. Not part of `npm test`: it needs Python, and
 * once a package index. Ends with code 1 where anything differs or is missing.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { readRun } from "../../../src/run/run-reader.ts";
import { runHistory } from "../../../src/tracking/history.ts";
import { pythonWithTrackers } from "./environment.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const RECIPE = join(HERE, "recipe.yaml");
const ALL = ["tensorboard", "trackio", "swanlab", "mlflow"];

/** Points by tag: pairs of step and value, or of step and number of texts. */
type Points = Record<string, [step: number, value: number | string][]>;
interface Found {
  readonly scalars: Points;
  readonly texts: Points;
}

const call = promisify(execFile);
const faults: string[] = [];
const children: ChildProcess[] = [];

async function compareAll(programs: string, root: string): Promise<void> {
  const port = await freePort();
  const mlflow = `http://127.0.0.1:${port}`;
  const environment = { ...process.env, TRACKIO_DIR: join(root, "trackio"), MLFLOW_TRACKING_URI: mlflow };
  const context: Context = { programs, root, mlflow, environment };

  // While no server is there.
  const late = join(root, "late");
  const { stderr } = await aha(["run", RECIPE, "--out", late, "--quiet", "--set", "track=[mlflow]"], environment);
  expectTrue(
    (stderr.match(/The tracker mlflow failed/g) ?? []).length === 1,
    "a server that is down is said once",
    stderr,
  );
  expectTrue(existsSync(join(late, "summary.json")), "a server that is down does not stop the run");
  await startMlflow(context, port);
  await aha(["track", late, "--to", "mlflow"], environment);
  await aha(["track", late, "--to", "mlflow"], environment);
  await compare("sent later", late, ["mlflow"], context);

  const killed = join(root, "killed");
  await killAfter(10, ["run", RECIPE, "--out", killed, "--quiet"], killed, environment);
  await aha(["run", RECIPE, "--out", killed, "--quiet", "--resume"], environment);
  await compare("killed and resumed", killed, ALL, context);
  const events = readRun(killed).events.map(({ event }) => event);
  expectTrue(events.includes("resumed"), "the run was killed and resumed", events.join(" "));

  const plain = join(root, "plain");
  const recipe = (await readFile(RECIPE, "utf8")).replace(/^track:.*\n/m, "");
  const path = join(root, "plain.yaml");
  await writeFile(path, recipe);
  await aha(["run", path, "--out", plain, "--quiet"], environment);
  for (const again of [false, true]) {
    await aha(["track", plain, ...ALL.flatMap((name) => ["--to", name]), ...(again ? ["--json"] : [])], environment);
  }
  await compare("sent when it was over, twice", plain, ALL, context);
  const logs = await Promise.all([killed, plain].map((run) => readFile(join(run, "metrics.jsonl"), "utf8")));
  expectTrue(logs[0] === logs[1], "trackers change nothing that is trained");
}

interface Context {
  readonly programs: string;
  readonly root: string;
  readonly mlflow: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Compares what every tracker has of the run with what the run directory has. */
async function compare(what: string, run: string, names: readonly string[], context: Context): Promise<void> {
  const expected = await inDirectory(run);
  const count = Object.values(expected.scalars).flat().length;
  for (const name of names) {
    const found = await READERS[name]!(run, context);
    for (const { source, points, isFloat32 } of found) {
      const before = faults.length;
      const wanted = isFloat32 ? rounded(expected.scalars) : expected.scalars;
      comparePoints(`${what}: ${source}`, withoutSeconds(wanted, run), withoutSeconds(points.scalars, run));
      if (points.texts !== undefined) comparePoints(`${what}: ${source}, texts`, expected.texts, points.texts);
      if (faults.length === before) console.log(`${what}: ${source}: ${count} numbers are there, once`);
    }
  }
}

/** Of a run that was resumed, its steps alone: what was made again took other seconds, and is not sent again. */
function withoutSeconds(points: Points, run: string): Points {
  if (!readRun(run).events.some(({ event }) => event === "resumed")) return points;
  const isTime = (tag: string) => /(^|\/)time\//.test(tag);
  return Object.fromEntries(
    Object.entries(points).map(([tag, all]) => [tag, isTime(tag) ? all.map(([step]) => [step, 0]) : all]),
  );
}

interface ReadPoints {
  readonly source: string;
  readonly points: { readonly scalars: Points; readonly texts?: Points };
  readonly isFloat32?: boolean;
}

const READERS: Readonly<Record<string, (run: string, context: Context) => Promise<ReadPoints[]>>> = {
  tensorboard: async (run, context) => {
    const points = withoutRunTags(await python<Found>(context, ["tensorboard", join(run, "tensorboard")]));
    const server = { scalars: await tensorboardServer(run, context, Object.keys(points.scalars).length) };
    return [
      { source: "TensorBoard's EventAccumulator", points, isFloat32: true },
      { source: "TensorBoard's server", points: server, isFloat32: true },
    ];
  },
  trackio: async (run, context) => {
    const name = run.slice(run.lastIndexOf("/") + 1);
    const found = await python<Found & { runs: number; alerts: string[]; config: object }>(context, [
      "trackio",
      "tracked",
      name,
    ]);
    expectTrue(found.runs === 1, "trackio has one run", String(found.runs));
    expectTrue(
      found.alerts.includes("run finished"),
      "trackio knows that the run is complete",
      found.alerts.join(", "),
    );
    expectTrue("task.name" in found.config, "trackio has the recipe", JSON.stringify(found.config).slice(0, 200));
    return [{ source: "trackio's API", points: withoutRunTags(found) }];
  },
  swanlab: async (run, context) => {
    const [folder] = await readdir(join(run, "swanlog"));
    const found = await python<Found & { starts: string[][]; finishes: number[]; saves: string[] }>(context, [
      "swanlab",
      join(run, "swanlog", folder!),
    ]);
    expectTrue(found.starts.length === 1, "SwanLab's file begins once", JSON.stringify(found.starts));
    expectTrue(found.finishes.join() === "1", "SwanLab's run is finished, once", found.finishes.join());
    expectTrue(found.saves.includes("config"), "SwanLab has the recipe", found.saves.join());
    return [{ source: "SwanLab's reader", points: withoutRunTags(found) }];
  },
  mlflow: async (run, { mlflow }) => {
    const { runId } = JSON.parse(await readFile(join(run, "trackers", "mlflow.json"), "utf8")) as { runId: string };
    const got = await mlflowCall(`${mlflow}/api/2.0/mlflow/runs/get?run_id=${runId}`);
    const { info, data } = got.run as {
      info: { status: string };
      data: { metrics: { key: string }[]; params: object[] };
    };
    expectTrue(info.status === "FINISHED", "MLflow's run is finished", info.status);
    expectTrue(data.params.length > 20, "MLflow has the recipe", String(data.params.length));
    const scalars: Points = {};
    for (const { key } of data.metrics) {
      const query = new URLSearchParams({ run_id: runId, metric_key: key, max_results: "25000" });
      const history = await mlflowCall(`${mlflow}/api/2.0/mlflow/metrics/get-history?${query}`);
      const metrics = history.metrics as { step?: number | string; value: number | string }[];
      scalars[key] = metrics.map(({ step = 0, value }) => [Number(step), value]);
    }
    const texts = await mlflowArtifacts(mlflow, runId);
    return [{ source: "MLflow's server", points: { scalars, texts } }];
  },
};

/** The completions that a run has among its artifacts. */
async function mlflowArtifacts(mlflow: string, runId: string, path = ""): Promise<Points> {
  const query = new URLSearchParams({ run_id: runId, ...(path !== "" && { path }) });
  const { files = [] } = (await mlflowCall(`${mlflow}/api/2.0/mlflow/artifacts/list?${query}`)) as {
    files?: { path: string; is_dir: boolean }[];
  };
  const found: Points = {};
  for (const file of files) {
    if (file.is_dir) Object.assign(found, await mlflowArtifacts(mlflow, runId, file.path));
    const step = /\/step-(\d+)\.json$/.exec(file.path)?.[1];
    if (step === undefined) continue;
    const got = await mlflowCall(`${mlflow}/get-artifact?${new URLSearchParams({ run_id: runId, path: file.path })}`);
    add(found, path, [Number(step), (got.data as unknown[]).length]);
  }
  return found;
}

async function mlflowCall(url: string): Promise<Record<string, unknown>> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
}

/** Every scalar that TensorBoard's page would draw. */
async function tensorboardServer(run: string, { programs }: Context, numTags: number): Promise<Points> {
  const port = await freePort();
  const folder = join(run, "tensorboard");
  const flags = [
    "--logdir",
    folder,
    "--port",
    String(port),
    "--host",
    "127.0.0.1",
    "--samples_per_plugin",
    "scalars=100000",
  ];
  const server = start(join(programs, "tensorboard"), [...flags, "--load_fast=false"], process.env);
  const base = `http://127.0.0.1:${port}/data`;
  const tags = await eventually(async () => {
    const found = (await mlflowCall(`${base}/plugin/scalars/tags`)) as Record<string, Record<string, unknown>>;
    const tags = Object.values(found).flatMap((ofRun) => Object.keys(ofRun));
    return tags.length >= numTags ? found : undefined;
  });
  const points: Points = {};
  for (const [name, ofRun] of Object.entries(tags)) {
    for (const tag of Object.keys(ofRun)) {
      const response = await fetch(`${base}/plugin/scalars/scalars?${new URLSearchParams({ run: name, tag })}`);
      const rows = (await response.json()) as [number, number, number | string][];
      points[tag] = rows.map(([, step, value]) => [step, value]);
    }
  }
  server.kill();
  return points;
}

/** What a run directory holds, as points. */
async function inDirectory(run: string): Promise<{ readonly scalars: Points; readonly texts: Points }> {
  const { recipe } = readRun(run);
  const stages = (recipe.stages as { name: string }[]).map(({ name }) => name);
  const found: Found = { scalars: {}, texts: {} };
  for await (const { step, scalars, texts } of runHistory(run, { stages, completions: 8 })) {
    for (const [tag, value] of scalars) add(found.scalars, tag, [step, value]);
    for (const text of texts) {
      if (text.kind === "completions") add(found.texts, text.tag, [step, text.completions.length]);
    }
  }
  return found;
}

function add(points: Points, tag: string, point: Points[string][number]): void {
  points[tag] = [...(points[tag] ?? []), point];
}

function comparePoints(what: string, expected: Points, found: Points): void {
  for (const tag of new Set([...Object.keys(expected), ...Object.keys(found)])) {
    const [wanted, got] = [expected[tag], found[tag]].map((points = []) =>
      [...points]
        .sort(([a], [b]) => a - b)
        .map(([step, value]) => [step, typeof value === "number" && !Number.isNaN(value) ? value : "NaN"]),
    );
    if (JSON.stringify(wanted) === JSON.stringify(got)) continue;
    faults.push(
      `${what}: ${tag}: expected ${JSON.stringify(wanted).slice(0, 300)}, got ${JSON.stringify(got).slice(0, 300)}`,
    );
  }
}

/** Tags about the run as a whole, which no log has. */
function withoutRunTags({ scalars, texts }: Found): Found {
  const kept = (points: Points) =>
    Object.fromEntries(Object.entries(points).filter(([tag]) => !tag.startsWith("run/")));
  return { scalars: kept(scalars), texts: withoutAlarms(kept(texts)) };
}

function withoutAlarms(texts: Points): Points {
  return Object.fromEntries(Object.entries(texts).filter(([tag]) => !tag.endsWith("/message")));
}

function rounded(points: Points): Points {
  const round = (value: number | string) => (typeof value === "number" ? Math.fround(value) : value);
  return Object.fromEntries(
    Object.entries(points).map(([tag, all]) => [tag, all.map(([step, value]) => [step, round(value)])]),
  );
}

function expectTrue(holds: boolean, what: string, got = ""): void {
  if (!holds) faults.push(`not so: ${what}. ${got}`);
}

function aha(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ stdout: string; stderr: string }> {
  return call(process.execPath, [PROGRAM, ...args], { env, maxBuffer: 2 ** 26 });
}

/** Runs the program, and kills it without warning when its metrics have so many rows. */
async function killAfter(rows: number, args: readonly string[], run: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = start(process.execPath, [PROGRAM, ...args], env);
  const log = join(run, "metrics.jsonl");
  while (child.exitCode === null) {
    const text = existsSync(log) ? await readFile(log, "utf8") : "";
    if (text.split("\n").length > rows) break;
    await sleep(5);
  }
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

async function startMlflow({ programs, root, mlflow }: Context, port: number): Promise<void> {
  const store = [
    "--backend-store-uri",
    `sqlite:///${root}/mlflow.db`,
    "--artifacts-destination",
    join(root, "artifacts"),
  ];
  const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
  start(
    join(programs, "mlflow"),
    ["server", "--workers", "1", "--host", "127.0.0.1", "--port", String(port), ...store],
    env,
  );
  await eventually(async () => ((await fetch(`${mlflow}/health`)).ok ? true : undefined));
}

async function python<T>({ programs, environment }: Context, args: readonly string[]): Promise<T> {
  const { stdout } = await call(join(programs, "python"), [join(HERE, "read.py"), ...args], {
    env: environment,
    maxBuffer: 2 ** 28,
  });
  return JSON.parse(stdout.slice(stdout.indexOf("{"))) as T;
}

function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(program, args, { env, stdio: "ignore" });
  children.push(child);
  return child;
}

/** What `ask` gives as soon as it gives anything; five minutes at most. */
async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await ask().catch(() => undefined);
    if (found !== undefined) return found;
    await sleep(500);
  }
  throw new Error("a server did not start within five minutes");
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

try {
  const programs = await pythonWithTrackers();
  const root = await mkdtemp(join(tmpdir(), "aha-trackers-"));
  try {
    await compareAll(programs, root);
  } finally {
    for (const child of children) child.kill();
    await rm(root, { recursive: true, force: true });
  }
} catch (error) {
  faults.push(error instanceof Error ? error.message : String(error));
}
for (const fault of faults.slice(0, 20)) console.error(`test:trackers: ${fault}`);
console.log(faults.length === 0 ? "Everything that was sent is there, once." : `${faults.length} faults.`);
process.exitCode = faults.length === 0 ? 0 : 1;
