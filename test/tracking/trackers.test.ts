/** The trackers that Aha brings, whole: from what they are told, or from a run directory, to what lies there in the end. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { parseRecipe } from "../../src/recipe/load.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { sendRun } from "../../src/tracking/send-run.ts";
import { runFileRecords } from "../../src/tracking/swanlab/log-file.ts";
import { readRecord } from "../../src/tracking/swanlab/records.ts";
import { tagsOfEvent } from "../../src/tracking/tensorboard/events.ts";
import { eventFileRecords } from "../../src/tracking/tensorboard/record-file.ts";
import type { Tracker } from "../../src/tracking/tracker.ts";
import { checkedTracker, trackers } from "../../src/tracking/trackers.ts";
import { addStep, expectedScalars, HOSTILE, openRun, RECIPE, SUMMARY, trackedRun } from "./runs.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "aha-trackers-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

const moment = (ms = 60) => new Promise((resolve) => setTimeout(resolve, ms));

async function opened(name: string, run: RunDirectory, options: object = {}, resumed = false): Promise<Tracker> {
  const { name: _, ...checked } = checkedTracker({ name, ...options });
  const more = resumed ? { resumed: { stage: "rl", step: 2 } } : {};
  return await trackers.get(name).open(trackedRun(run, more), checked);
}

/** Steps by tag. */
type Steps = Record<string, number[]>;

function add(steps: Steps, tag: string, step: number): void {
  steps[tag] = [...(steps[tag] ?? []), step];
}

async function tensorboardSteps(folder: string): Promise<Steps> {
  const steps: Steps = {};
  for (const name of readdirSync(folder).sort()) {
    if (!name.includes("tfevents")) continue;
    for await (const record of eventFileRecords(join(folder, name))) {
      const event = tagsOfEvent(record)!;
      for (const tag of event.tags) add(steps, tag, event.step);
    }
  }
  return steps;
}

async function swanlabSteps(parent: string): Promise<{ steps: Steps; kinds: string[]; text: string }> {
  const [folder] = readdirSync(parent);
  const path = join(parent, folder!, `${folder}.swanlab`);
  const steps: Steps = {};
  const kinds: string[] = [];
  for await (const { data } of runFileRecords(path)) {
    const record = readRecord(data)!;
    kinds.push(record.kind);
    if (record.kind === "scalar" || record.kind === "media") add(steps, record.key, record.step);
  }
  return { steps, kinds, text: readFileSync(path, "utf8") };
}

/** Lines of trackio's inbox, each `log_id` once, as its database takes them. */
function trackioLines(directory: string): Record<string, unknown>[] {
  const inbox = join(directory, "inbox");
  const files = readdirSync(inbox, { recursive: true }) as string[];
  const lines = files
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .flatMap((name) => readFileSync(join(inbox, name), "utf8").trimEnd().split("\n"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return [...new Map(lines.map((line) => [line.log_id ?? line.alert_id, line])).values()];
}

function trackioSteps(directory: string): Steps {
  const steps: Steps = {};
  for (const { kind, metrics, step } of trackioLines(directory)) {
    if (kind === "metric") for (const tag of Object.keys(metrics as object)) add(steps, tag, step as number);
  }
  return steps;
}

/** What each of them has of a run after so many steps. */
function expectedSteps(count: number): Steps {
  const scalars = Object.entries(expectedScalars(count)).map(([tag, points]) => [tag, points.map(([step]) => step)]);
  const all = Array.from({ length: count }, (_, index) => index + 1);
  return {
    ...Object.fromEntries(scalars),
    "train/completions": all,
    ...(count > 1 && { "eval/answers": all.filter((step) => step % 2 === 0) }),
  };
}

const ofRows = (steps: Steps): Steps =>
  Object.fromEntries(
    Object.entries(steps).filter(([tag]) => /^(train|time|eval|alarms)\//.test(tag) && !tag.endsWith("/message")),
  );

describe.each([
  ["tensorboard", async (run: string) => tensorboardSteps(join(run, "tensorboard"))],
  ["swanlab", async (run: string) => (await swanlabSteps(join(run, "swanlog"))).steps],
  ["trackio", async (_run: string) => trackioSteps(join(root, "trackio"))],
] as const)("%s", (name, stepsOf) => {
  it("has every step once after a kill and a resume, and after it was sent again", async () => {
    vi.stubEnv("TRACKIO_DIR", join(root, "trackio"));
    const run = await openRun(root, `${name}-killed`);
    const first = await opened(name, run);
    for (let step = 1; step <= 2; step++) addStep(run, step, first);
    await run.saveCheckpoint({ stage: "rl", step: 2, trainerState: {}, stageComplete: false, keep: 1 }, async () => {});
    addStep(run, 3, first);
    await moment();
    // Killed: nobody is told of an end. What is made again is told again.
    run.close();
    const again = await RunDirectory.resume(run.path, RECIPE);
    const second = await opened(name, again, {}, true);
    await second.finish?.({ state: "interrupted", reason: "stopped" });
    const third = await opened(name, again, {}, true);
    for (let step = 3; step <= 5; step++) addStep(again, step, third);
    await third.finish?.({ state: "finished", summary: SUMMARY });
    await again.finish(SUMMARY);
    again.close();
    expect(ofRows(await stepsOf(run.path))).toEqual(expectedSteps(5));
    expect(await sendRun(run.path, checkedTracker({ name }))).toMatchObject({ tracker: name, state: "finished" });
    expect(ofRows(await stepsOf(run.path))).toEqual(expectedSteps(5));
    await rm(join(root, "trackio"), { recursive: true, force: true });
  });
});

describe("tensorboard", () => {
  it("goes on in another file where a killed session left half a record", async () => {
    const run = await openRun(root, "half");
    const first = await opened("tensorboard", run);
    addStep(run, 1, first);
    await first.finish?.({ state: "interrupted", reason: "stopped" });
    const folder = join(run.path, "tensorboard");
    const [file] = readdirSync(folder).filter((entry) => entry.includes("tfevents"));
    await appendFile(join(folder, file!), Buffer.from([7, 0, 0, 0, 0, 0]));
    const second = await opened("tensorboard", run, {}, true);
    addStep(run, 2, second);
    await second.finish?.({ state: "finished", summary: SUMMARY });
    run.close();
    expect(readdirSync(folder).filter((entry) => entry.includes("tfevents"))).toHaveLength(2);
    expect(ofRows(await tensorboardSteps(folder))).toEqual(expectedSteps(2));
  });

  it("shows hostile text as an indented block, and cuts a megabyte", async () => {
    const run = await openRun(root, "hostile");
    const tracker = await opened("tensorboard", run, { completions: 2 });
    const row = {
      iteration: 1,
      promptId: 0,
      prompt: "p",
      rewards: {},
      reward: 0,
      advantage: 0,
      lengthTokens: 1,
    } as const;
    const completions = [HOSTILE, "y".repeat(2 ** 20)];
    tracker.rollouts?.(completions.map((completion) => ({ ...row, stage: "rl", completion, finishReason: "stop" })));
    await tracker.finish?.({ state: "interrupted", reason: "stopped" });
    run.close();
    const folder = join(run.path, "tensorboard");
    const [file] = readdirSync(folder).filter((entry) => entry.includes("tfevents"));
    const records: Buffer[] = [];
    for await (const record of eventFileRecords(join(folder, file!))) records.push(record);
    const event = records.find((record) => tagsOfEvent(record)?.tags.includes("train/completions"))!;
    expect(event.length).toBeLessThan(20_000);
    const [hostile, long] = textsOf(event);
    for (const line of hostile!.split("\n")) expect(line).toMatch(/^ {4}/);
    expect(hostile).toContain("<script>alert(1)</script>");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there.
    expect(hostile).not.toMatch(/[\u0000\u001b]/);
    expect(long).toContain("[…1040576 more characters]");
  });

  it("puts runs side by side in a folder of the user's, and refuses another run's", async () => {
    const logdir = join(root, "tb");
    const run = await openRun(join(root, "a"), "same-name");
    const tracker = await opened("tensorboard", run, { logdir });
    addStep(run, 1, tracker);
    await tracker.finish?.({ state: "interrupted", reason: "stopped" });
    run.close();
    expect(ofRows(await tensorboardSteps(join(logdir, "same-name")))).toEqual(expectedSteps(1));
    const other = await openRun(join(root, "b"), "same-name");
    await expect(opened("tensorboard", other, { logdir })).rejects.toThrow(
      /belong to another run.*Choose another folder/,
    );
    other.close();
    await mkdir(join(logdir, "foreign"), { recursive: true });
    await writeFile(join(logdir, "foreign", "events.out.tfevents.1.host"), "");
    const foreign = await openRun(root, "foreign");
    await expect(opened("tensorboard", foreign, { logdir })).rejects.toThrow(/belong to another run/);
    foreign.close();
  });
});

describe("swanlab", () => {
  it("is a run of the names it was given, its end in the place of an earlier one", async () => {
    const run = await openRun(root, "swan");
    const names = { project: "Try_r1", workspace: "lab", experimentName: "first" };
    for (const state of ["interrupted", "failed"] as const) {
      const tracker = await opened("swanlab", run, names, state === "failed");
      addStep(run, state === "failed" ? 2 : 1, tracker);
      await tracker.finish?.({ state, reason: `it was ${state}` });
    }
    run.close();
    const { kinds, text } = await swanlabSteps(join(run.path, "swanlog"));
    expect(kinds.filter((kind) => kind === "start" || kind === "finish")).toEqual(["start", "finish"]);
    expect(kinds.at(-1)).toBe("finish");
    for (const name of [...Object.values(names), "it was failed", "Is it shown?"]) expect(text).toContain(name);
    expect(text).not.toContain("it was interrupted");
    const [folder] = readdirSync(join(run.path, "swanlog"));
    expect(readFileSync(join(run.path, "swanlog", folder!, "files", "config.yaml"), "utf8")).toContain("countdown");
  });
});

describe("trackio", () => {
  it("gets traces, alerts, the recipe and the end", async () => {
    const directory = join(root, "trackio-lines");
    vi.stubEnv("TRACKIO_DIR", directory);
    const run = await openRun(root, "traces");
    const tracker = await opened("trackio", run, { project: "toys" });
    for (let step = 1; step <= 3; step++) addStep(run, step, tracker);
    await tracker.finish?.({ state: "finished", summary: SUMMARY });
    run.close();
    const lines = trackioLines(directory);
    for (const line of lines) expect(line).toMatchObject({ v: 1, project: "toys", run: "traces" });
    const traces = lines.flatMap(
      ({ metrics }) => (metrics as { "train/completions"?: object[] })?.["train/completions"] ?? [],
    );
    expect(traces).toHaveLength(6);
    expect(traces[1]).toMatchObject({
      _type: "trackio.trace",
      messages: [{ role: "user", content: "prompt 1" }, { role: "assistant" }],
      metadata: { reward: 1, "rewards/format": 1, solved: true },
    });
    const alerts = lines.filter(({ kind }) => kind === "alert");
    expect(alerts.map(({ title, level }) => [title, level])).toEqual([
      ["alarms/entropy-collapse", "warn"],
      ["run finished", "info"],
    ]);
    const configs = lines.flatMap(({ config }) => (config ? [config as object] : []));
    expect(configs[0]).toMatchObject({ "task.name": "countdown", "rl.learningRate": 0.001 });
    expect(configs.at(-1)).toMatchObject({ state: "finished" });
  });
});

describe("what cannot be used is refused before the run", () => {
  const recipe = (track: string) =>
    parseRecipe(
      `
name: t
track: ${track}
model: { path: m }
task: { name: countdown }
stages: [{ name: s, trainer: sft, steps: 1, batchTokens: 512, learningRate: 1e-3 }]
`,
      "t.yaml",
    );

  it("unknown names, unknown keys, wrong kinds, names twice", () => {
    expect(recipe("[tensorboard, { name: swanlab, project: p }]").track).toEqual([
      { name: "tensorboard", completions: 8 },
      { name: "swanlab", project: "p", completions: 8 },
    ]);
    expect(() => recipe("[tensorbord]")).toThrow(/There is no tracker "tensorbord"; .*Did you mean tensorboard\?/);
    expect(() => recipe("[{ name: tensorboard, logDir: x }]")).toThrow(/logDir: unknown key; did you mean "logdir"\?/);
    expect(() => recipe("[{ name: trackio, completions: many }]")).toThrow(
      /completions: expected a number, got the text "many"/,
    );
    expect(() => recipe("[{ name: mlflow, uri: 'file:///tmp/runs' }]")).toThrow(/expected an http or https address/);
    expect(() => recipe("[{ name: mlflow, uri: 'http://me:pw@host' }]")).toThrow(/environment variable/);
    expect(() => recipe("[swanlab, swanlab]")).toThrow(/the tracker swanlab is named twice/);
    expect(() => recipe("[]")).toThrow(/track/);
  });

  it("a directory that is no run, one in use, and state that something changed", async () => {
    await expect(sendRun(root, checkedTracker({ name: "tensorboard" }))).rejects.toThrow(/it is not a run directory/);
    const run = await openRun(root, "in-use");
    await expect(sendRun(run.path, checkedTracker({ name: "tensorboard" }))).rejects.toThrow(/is in use by process/);
    await mkdir(join(run.path, "trackers"));
    await writeFile(join(run.path, "trackers", "swanlab.json"), "{}");
    await expect(opened("swanlab", run)).rejects.toThrow(/swanlab\.json is not as Aha writes it/);
    run.close();
  });

  it("leaves nothing of a run that could not begin", async () => {
    const run = await openRun(root, "given-up");
    const tracker = await opened("tensorboard", run);
    await tracker.finish?.({ state: "interrupted", reason: "stopped" });
    run.discard();
    expect(existsSync(join(root, basename(run.path)))).toBe(false);
  });
});

/** The cells of the first text of an event: summary 5, value 1, tensor 8, string_val 8. */
function textsOf(event: Uint8Array): string[] {
  const below = (bytes: Uint8Array, wanted: number): Uint8Array[] => {
    const reader = new BinaryReader(bytes);
    const found: Uint8Array[] = [];
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (field === wanted && wire === 2) found.push(reader.bytes());
      else reader.skip(wire, field);
    }
    return found;
  };
  const tensors = below(event, 5)
    .flatMap((summary) => below(summary, 1))
    .flatMap((value) => below(value, 8));
  return tensors.flatMap((tensor) => below(tensor, 8)).map((text) => Buffer.from(text).toString("utf8"));
}
