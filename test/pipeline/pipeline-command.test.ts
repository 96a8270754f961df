/** The smoke pipeline by the command line, in this process: once from its start, then from copies of what that left. */

import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { TEMPORARY_PREFIX } from "../../src/files.ts";
import { PipelineDirectory } from "../../src/pipeline/directory.ts";
import { pinHubNames } from "../../src/pipeline/hub-pins.ts";
import { loadPipeline, resolveStages } from "../../src/pipeline/load.ts";
import { stageKinds } from "../../src/pipeline/schema.ts";
import type { PipelineLineage, PipelineSummary } from "../../src/run/pipeline-records.ts";
import { recordedConsole } from "../cli/console.ts";

const SMOKE = join(import.meta.dirname, "../../recipes/r1/smoke/pipeline.yaml");
const NAMES = [
  "base",
  "r1-zero",
  "cold-start-data",
  "sft",
  "samples",
  "mix",
  "sft-2",
  "preference-data",
  "reward-model",
  "r1",
  "teacher-data",
  "student",
  "on-policy-student",
];

interface Line {
  readonly type: string;
  readonly name: string;
  readonly action: string;
  readonly event?: { readonly type: string };
}

let root: string;
let first: Awaited<ReturnType<typeof run>>;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-pipeline-"));
  first = await run(join(root, "first"));
}, 180_000);
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** `aha run` of the smoke pipeline; `abortWhen` sees each JSON line and may ask to stop. */
async function run(
  out: string,
  args: readonly string[] = [],
  abortWhen?: (line: Line) => boolean,
  file: string = SMOKE,
) {
  const controller = new AbortController();
  const console = recordedConsole({ signal: controller.signal });
  const context = {
    ...console,
    out: (text: string) => {
      console.out(text);
      if (abortWhen?.(JSON.parse(text) as Line)) controller.abort();
    },
  };
  const code = await main(["run", file, "--out", out, ...args], context);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

/** What became of each stage in a run with --json. */
async function actions(out: string, args: readonly string[] = []): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await run(out, ["--json", ...args]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  return Object.fromEntries(lines.filter(({ type }) => type === "stage").map(({ name, action }) => [name, action]));
}

async function plan(out: string, args: readonly string[] = [], file: string = SMOKE) {
  const { code, stdout } = await run(out, ["--dry-run", "--json", ...args], undefined, file);
  expect(code).toBe(0);
  const { stages } = JSON.parse(stdout) as {
    stages: { stage: string; action: string; reason: string; conditional: boolean }[];
  };
  return new Map(stages.map((stage) => [stage.stage, stage]));
}

function copied(name: string): string {
  const path = join(root, name);
  cpSync(join(root, "first"), path, { recursive: true });
  return path;
}

const lineageOf = (out: string) => JSON.parse(readFileSync(join(out, "lineage.json"), "utf8")) as PipelineLineage;
const summaryOf = (out: string) => JSON.parse(readFileSync(join(out, "summary.json"), "utf8")) as PipelineSummary;
const outputHashes = (out: string) =>
  Object.fromEntries(Object.entries(lineageOf(out).stages).map(([name, { output }]) => [name, output?.hash]));

describe("a pipeline that runs through", () => {
  it("tells each stage, and ends with the table and where the report lies", () => {
    expect(first.code).toBe(0);
    for (const [i, name] of NAMES.entries()) expect(first.stderr).toContain(`[${i + 1}/${NAMES.length}] ${name} (`);
    expect(first.stderr).toMatch(/kept \d+ of 64 completions \(\d+ %\); dropped: refinement \d+/);
    expect(first.stdout).toMatch(/stage +kind +status +time +made +solveRate +formatRate +meanLength +tries/);
    // Rates as per cent, lengths and tries as numbers.
    const row =
      /^student .*model +[\d.]+ % \(.*?%\) +[\d.]+ % \(.*?%\) +[\d.]+ \([\d.]+ to [\d.]+\) +[\d.]+ \([\d.]+ to [\d.]+\)$/m;
    expect(first.stdout).toMatch(row);
    expect(first.stdout).toContain(join(root, "first", "report.html"));
  });

  it("has every kind of stage and every trainer", () => {
    const recipes = readdirSync(join(root, "first", "stages")).flatMap((name) => {
      const path = join(root, "first", "stages", name, "recipe.yaml");
      return existsSync(path) ? [readFileSync(path, "utf8")] : [];
    });
    for (const trainer of ["sft", "grpo", "reward_model", "distill"])
      expect(recipes.join("\n")).toContain(`trainer: ${trainer}\n`);
    expect(new Set(summaryOf(join(root, "first")).stages.map(({ kind }) => kind))).toEqual(new Set(stageKinds()));
  });

  it("measures every model that is to be, and no data set or reward model, on the suites", () => {
    const { stages, columns } = summaryOf(join(root, "first"));
    expect(stages.map(({ name }) => name)).toEqual(NAMES);
    expect(columns).toEqual(["solveRate", "formatRate", "meanLength", "tries"]);
    for (const { name, output, evaluations } of stages) {
      const isMeasured = output.type === "model" && name !== "on-policy-student";
      expect(Object.keys(evaluations)).toEqual(isMeasured ? ["countdown"] : []);
      if (!isMeasured) continue;
      expect(evaluations.countdown!.problems).toBe(8);
      expect(evaluations.countdown!.statistics.format).toBe(evaluations.countdown!.statistics.formatRate);
      expect(evaluations.countdown!.intervals.solveRate).toHaveLength(2);
    }
  });

  it("leaves data sets with their lineage, and what was dropped beside them", () => {
    const folder = join(root, "first", "stages", "cold-start-data");
    const lineage = JSON.parse(readFileSync(join(folder, "data", "lineage.json"), "utf8"));
    const dropped = Object.values(lineage.dropped as Record<string, number>).reduce((sum, many) => sum + many, 0);
    expect(lineage).toMatchObject({ step: "coldStart", method: "refine", model: "r1-zero", candidates: 64 });
    expect(lineage.inputs).toEqual({ "r1-zero": outputHashes(join(root, "first"))["r1-zero"] });
    expect(lineage.kept + dropped).toBe(64);
    const rows = (file: string) =>
      readFileSync(join(folder, file), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rows("data/train.jsonl")).toHaveLength(lineage.kept);
    expect(rows("data/train.jsonl")[0]).toMatchObject({ kind: "reasoning", prompt: expect.stringMatching(/<think>$/) });
    expect(
      rows("data/train.jsonl").every(({ completion }) => /<\/think>\n<answer>.*<\/answer>$/.test(String(completion))),
    ).toBe(true);
    expect(rows("rejected.jsonl")).toHaveLength(dropped);
    expect(rows("rejected.jsonl")[0]).toMatchObject({ droppedBy: expect.any(String), reason: expect.any(String) });
  });

  it("links the stages' own pages in the report", () => {
    const page = readFileSync(join(root, "first", "report.html"), "utf8");
    expect(page).toContain('<a href="stages/r1-zero/report.html">r1-zero</a>');
    expect(page).toContain("GRPO from the base with rule rewards");
    expect(existsSync(join(root, "first", "stages", "r1-zero", "report.html"))).toBe(true);
  });
});

describe("a pipeline that runs again", () => {
  it("runs nothing where nothing has changed, with --resume or without", async () => {
    const out = copied("again");
    expect(new Set(Object.values(await actions(out)))).toEqual(new Set(["reuse"]));
    expect(new Set(Object.values(await actions(out, ["--resume"])))).toEqual(new Set(["reuse"]));
    expect(Object.values(lineageOf(out).stages).every(({ session }) => session === "reused")).toBe(true);
  });

  it("plans what a change reaches, by name and value, and touches nothing", async () => {
    const out = join(root, "first");
    const before = readFileSync(join(out, "lineage.json"), "utf8");
    const planned = await plan(out, ["--set", "samples.samples=3"]);
    expect(planned.get("samples")).toMatchObject({ action: "run", reason: "changed: samples.samples 4 → 3" });
    for (const name of ["base", "r1-zero", "cold-start-data", "sft"]) expect(planned.get(name)!.action).toBe("reuse");
    for (const name of NAMES.slice(5)) {
      expect(planned.get(name)!.action).toBe(name === "preference-data" ? "reuse" : "run");
    }
    const [rate] = [await plan(out, ["--set", "r1-zero.learningRate=4e-4"])];
    expect(rate.get("r1-zero")!.reason).toBe("changed: r1-zero.learningRate 0.0002 → 0.0004");
    const all = await plan(out, ["--set", "seed=2"]);
    expect([...all.values()].every(({ action }) => action === "run")).toBe(true);
    expect(readFileSync(join(out, "lineage.json"), "utf8")).toBe(before);
  });

  it("runs a changed stage, keeps what it had made, and takes that back with the change", async () => {
    const out = copied("changed");
    const expected = Object.fromEntries(NAMES.map((name) => [name, name === "student" ? "run" : "reuse"]));
    expect(await actions(out, ["--set", "student.steps=2"])).toEqual(expected);
    expect(outputHashes(out).student).not.toBe(outputHashes(join(root, "first")).student);
    expect(readdirSync(join(out, "superseded"))).toHaveLength(1);
    expect(new Set(Object.values(await actions(out)))).toEqual(new Set(["reuse"]));
    expect(outputHashes(out)).toEqual(outputHashes(join(root, "first")));
  });

  it("reuses what comes after a stage that made the same bytes again", async () => {
    const out = copied("same");
    const done = await actions(out, ["--set", "teacher-data.promptsPerPart=2"]);
    expect(done).toEqual(Object.fromEntries(NAMES.map((name) => [name, name === "teacher-data" ? "run" : "reuse"])));
  });

  it("runs --from a stage on what depends on it, to the same bits", async () => {
    const out = copied("from");
    const done = await actions(out, ["--from", "teacher-data"]);
    const again = ["teacher-data", "student"];
    expect(done).toEqual(Object.fromEntries(NAMES.map((name) => [name, again.includes(name) ? "run" : "reuse"])));
    expect(outputHashes(out)).toEqual(outputHashes(join(root, "first")));
  });

  it("runs --only a stage, whose inputs must be there", async () => {
    const out = copied("only");
    const done = await actions(out, ["--only", "mix"]);
    expect(done).toEqual(Object.fromEntries(NAMES.map((name) => [name, name === "mix" ? "run" : "left"])));
    expect(summaryOf(out).stages.map(({ name }) => name)).toEqual(NAMES);
    const empty = await run(join(root, "empty"), ["--only", "mix"]);
    expect(empty.code).toBe(1);
    expect(empty.stderr).toMatch(/--only mix needs the output of cold-start-data and samples, which is not there yet/);
    expect(existsSync(join(root, "empty"))).toBe(false);
  });

  it("makes again what somebody has edited or deleted, and keeps what was edited", async () => {
    const out = copied("edited");
    const data = (name: string) => join(out, "stages", name, "data");
    appendFileSync(join(data("mix"), "train.jsonl"), "{}\n");
    rmSync(join(data("preference-data"), "test.jsonl"));
    rmSync(join(out, "stages", "student", "model"), { recursive: true });
    const planned = await plan(out);
    const madeAgain = NAMES.filter((name) => planned.get(name)!.action === "run" && !planned.get(name)!.conditional);
    expect(madeAgain).toEqual(["mix", "preference-data", "student"]);
    expect(planned.get("mix")!.reason).toBe("what it made was changed by hand (stages/mix/data)");
    expect(planned.get("student")!.reason).toBe("what it made is gone");
    const only = await run(out, ["--only", "sft-2"]);
    expect([only.code, only.stderr]).toEqual([
      1,
      expect.stringMatching(/needs the output of mix, which was changed by/),
    ]);
    const done = await actions(out);
    expect(NAMES.filter((name) => done[name] !== "reuse")).toEqual(madeAgain);
    expect(outputHashes(out)).toEqual(outputHashes(join(root, "first")));
    const [kept] = readdirSync(join(out, "superseded")).filter((name) => /^mix-.*-edited$/.test(name));
    expect(readFileSync(join(out, "superseded", kept!, "data", "train.jsonl"), "utf8")).toMatch(/\n\{\}\n$/);
  });

  it("stopped or killed in any trainer and in a data step, moved, and resumed, ends where it would have ended", async () => {
    const out = copied("stopped");
    const killed = join(root, "killed");
    let rows = 0;
    const atWork: Record<string, (line: Line) => boolean> = {
      "r1-zero": ({ event }) => event?.type === "metrics",
      samples: ({ type, action }) => type === "stage" && action === "run",
      "reward-model": ({ event }) => event?.type === "metrics",
      // In its second iteration, after a checkpoint; the copy is what a process that is killed then leaves.
      "on-policy-student": ({ event }) => {
        if (event?.type !== "metrics" || ++rows < 2) return false;
        cpSync(out, killed, { recursive: true });
        return true;
      },
    };
    for (const [name, isAtWork] of Object.entries(atWork)) {
      const stop = (line: Line) => line.name === name && isAtWork(line);
      expect((await run(out, ["--json", "--only", name], stop)).code).toBe(130);
      expect(lineageOf(out).stages[name]!.state).toBe("begun");
    }
    const moved = join(root, "moved");
    renameSync(out, moved);
    const halfWritten = join(killed, "stages", "samples", "parts", `${TEMPORARY_PREFIX}part-1`);
    writeFileSync(halfWritten, "{");
    for (const lock of ["", join("stages", "on-policy-student")]) rmSync(join(killed, lock, "run.lock"));
    for (const directory of [moved, killed]) {
      const done = await actions(directory, ["--resume"]);
      const resumed = Object.keys(atWork);
      expect(NAMES.filter((name) => done[name] !== "reuse")).toEqual(resumed);
      expect(resumed.every((name) => done[name] === "resume")).toBe(true);
      expect(outputHashes(directory)).toEqual(outputHashes(join(root, "first")));
      for (const file of ["metrics.jsonl", "rollouts.jsonl"]) {
        const content = (of: string) => readFileSync(join(of, "stages", "on-policy-student", file), "utf8");
        expect(content(directory)).toBe(content(join(root, "first")));
      }
    }
    expect(existsSync(halfWritten)).toBe(false);
  });
});

describe("a data set of the Hub in a pipeline", () => {
  const [first, second] = ["a".repeat(40), "b".repeat(40)];
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(root, "hub-"));
    // Nothing is asked of the network.
    vi.stubEnv("HF_HUB_CACHE", join(folder, "cache"));
    vi.stubEnv("HF_HUB_OFFLINE", "1");
  });
  afterAll(() => {
    vi.unstubAllEnvs();
  });

  /** What a pull leaves: the files of a commit, and what the branch means now. */
  function cache(commit: string, prompt: string): void {
    const repository = join(folder, "cache", "datasets--org--rows");
    const snapshot = join(repository, "snapshots", commit);
    for (const path of [snapshot, join(repository, "refs")]) mkdirSync(path, { recursive: true });
    writeFileSync(join(snapshot, "train.jsonl"), `{"prompt":"${prompt}"}\n`);
    writeFileSync(join(repository, "refs", "main"), commit);
  }

  it("is pinned to its commit: a stage runs again when the name means another one, and not before", async () => {
    const [file, out] = [join(folder, "pipeline.yaml"), join(folder, "out")];
    writeFileSync(file, "name: p\nthreads: 1\npipeline: [{ name: mix, combine: { data: [{ path: org/rows }] } }]\n");
    const rows = () => readFileSync(join(out, "stages", "mix", "data", "train.jsonl"), "utf8");
    const missing = await run(out, [], undefined, file);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringMatching(/org\/rows is not in the cache/)]);
    cache(first, "one");
    expect((await run(out, [], undefined, file)).code).toBe(0);
    expect(rows()).toBe('{"prompt":"one"}\n');
    expect(lineageOf(out).stages.mix!.ingredients.config).toMatchObject({ data: [{ path: `org/rows@${first}` }] });
    expect((await plan(out, [], file)).get("mix")!.action).toBe("reuse");
    cache(second, "two");
    const reason = `changed: mix.data.0.path "org/rows@${first}" → "org/rows@${second}"`;
    expect((await plan(out, [], file)).get("mix")).toMatchObject({ action: "run", reason });
    expect((await run(out, [], undefined, file)).code).toBe(0);
    expect(rows()).toBe('{"prompt":"two"}\n');
  });

  it("is that of the lineage where the cache was emptied, and of a stage that was begun", async () => {
    const pipeline = await loadPipeline(join(folder, "pipeline.yaml"));
    const stages = resolveStages(pipeline, join(folder, "out"));
    const record = (state: string) =>
      ({ stages: { mix: { state, ingredients: { config: { data: [{ path: `org/rows@${first}` }] } } } } }) as never;
    const pathWith = async (lineage: never | undefined, asked?: string) => {
      const askHub = asked === undefined ? undefined : async () => asked;
      const pinned = await pinHubNames(pipeline, stages, { lineage, askHub });
      return (pinned.stages[0]!.work as unknown as { config: { data: { path: string }[] } }).config.data[0]!.path;
    };
    expect(await pathWith(record("begun"))).toBe(`org/rows@${first}`);
    expect(await pathWith(record("finished"))).toBe(`org/rows@${second}`);
    rmSync(join(folder, "cache"), { recursive: true });
    expect(await pathWith(record("finished"), "asked")).toBe(`org/rows@${first}`);
    expect(await pathWith(undefined, "asked")).toBe("asked");
    expect(await pathWith(undefined)).toBe("org/rows");
  });
});

describe("what a pipeline refuses", () => {
  const refused = async (out: string, args: readonly string[]) => {
    const { code, stderr } = await run(out, args);
    expect(code).toBe(1);
    return stderr;
  };

  it("a directory of something else, one in use, and --resume of nothing", async () => {
    const other = mkdtempSync(join(root, "other-"));
    writeFileSync(join(other, "notes.txt"), "mine");
    expect(await refused(other, [])).toMatch(/is not empty \(notes\.txt\) and holds no pipeline/);
    expect(readdirSync(other)).toEqual(["notes.txt"]);
    const mine = mkdtempSync(join(root, "mine-"));
    writeFileSync(join(mine, "pipeline.yaml"), "# my own\nname: r1-smoke\n");
    expect(await refused(mine, [])).toMatch(/is not empty \(pipeline\.yaml\) and holds no pipeline/);
    expect(await refused(join(root, "nowhere"), ["--resume"])).toMatch(/There is no pipeline in .*nowhere to resume/);
    const held = await PipelineDirectory.open(join(root, "first"), { pipeline: "r1-smoke", seed: 1, threads: 1 });
    expect(await refused(join(root, "first"), [])).toMatch(/is in use by process/);
    held.close();
  });

  it("nothing of what a pipeline left that was ended before its first stage", async () => {
    const about = { pipeline: "r1-smoke", seed: 1, threads: 1 };
    const path = join(root, "ended");
    const first = await PipelineDirectory.open(path, about);
    await first.keepFile({ name: "r1-smoke" });
    // As after a kill: the file is there, and nothing else.
    const killed = join(root, "killed");
    cpSync(path, killed, { recursive: true });
    rmSync(join(killed, "run.lock"), { force: true });
    first.close();
    expect(existsSync(path)).toBe(false);
    const again = await PipelineDirectory.open(killed, about);
    again.close();
  });

  it("stages that are not there, and options of recipes and pipelines for each other", async () => {
    const out = join(root, "first");
    expect(await refused(out, ["--from", "r1-zro"])).toMatch(
      /--from: there is no stage "r1-zro". Did you mean r1-zero\?/,
    );
    expect(await refused(out, ["--only", "mix", "--from", "mix"])).toMatch(/exclude each other/);
    expect(await refused(out, ["--model", "x"])).toMatch(/--model goes with --trl/);
    const recipe = recordedConsole();
    const smoke = join(import.meta.dirname, "../../recipes/countdown/smoke/recipe.yaml");
    expect(await main(["run", smoke, "--only", "x"], recipe)).toBe(1);
    expect(recipe.stderr()).toMatch(/--only goes with a pipeline/);
  });

  it("data that nothing is left of, with what dropped how many; and goes on when that is mended", async () => {
    const out = copied("emptied");
    const text = await refused(out, ["--only", "teacher-data", "--set", "teacher-data.keep=[{tokens: {min: 999}}]"]);
    expect(text).toMatch(
      /teacherSamples: none of the 48 completions is left[\s\S]*tokens ≥ 999: 48 \(e\.g\. it has \d+ tokens\)/,
    );
    expect(existsSync(join(out, "stages", "teacher-data", "data"))).toBe(false);
    expect(await actions(out, ["--only", "teacher-data"])).toMatchObject({ "teacher-data": "reuse" });
  });
});
