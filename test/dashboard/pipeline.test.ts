import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dashboardCommand as command } from "../../src/cli/dashboard.ts";
import { findRuns } from "../../src/inspect/find-runs.ts";
import { pipelineCard } from "../../src/inspect/pipeline-answers.ts";
import { recordedConsole } from "../cli/console.ts";
import { writeRun } from "./written-run.ts";

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-pipeline-"));
  const pipeline = join(root, "runs/r1");
  mkdirSync(join(pipeline, "stages"), { recursive: true });
  writeFileSync(
    join(pipeline, "pipeline.yaml"),
    "name: r1\nquestion: Does it work?\npipeline:\n  - { name: base }\n  - { name: zero, note: GRPO }\n  - { name: later }\n",
  );
  const stage = (state: string, inputs: object) => ({
    ...{ hash: "0", state, seconds: 12, session: "run" },
    ingredients: { version: 1, kind: "train", config: {}, inputs, files: {} },
  });
  const stages = { base: stage("finished", {}), zero: stage("begun", { base: "0" }) };
  writeFileSync(
    join(pipeline, "lineage.json"),
    JSON.stringify({ pipeline: "r1", seed: 4, threads: 1, stages, superseded: {} }),
  );
  writeRun(join(pipeline, "stages/base"), { steps: 3, rollouts: 0, isFinished: true });
  writeRun(join(root, "runs/folder/deep"), { steps: 3, rollouts: 0 });
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("what is found below a folder", () => {
  it("are runs, pipelines and their stages", () => {
    expect(findRuns(["runs"], root).map(({ id, kind, pipeline }) => [id, kind, pipeline])).toEqual([
      ["runs/folder/deep", "run", undefined],
      ["runs/r1", "pipeline", undefined],
      ["runs/r1/stages/base", "run", "runs/r1"],
    ]);
  });

  it("may be linked from elsewhere; links in circles and links to nothing lead nowhere", () => {
    const [runs, linked] = [join(root, "runs"), join(root, "linked")];
    mkdirSync(linked);
    symlinkSync(join(runs, "folder"), join(linked, "folder"));
    symlinkSync(linked, join(linked, "circle"));
    symlinkSync(join(root, "nothing"), join(linked, "nothing"));
    expect(findRuns(["linked"], root).map(({ id }) => id)).toEqual(["linked/folder/deep"]);
    rmSync(linked, { recursive: true });
  });

  it("is found once where links lead to a folder above, or around outside", () => {
    const [inside, outside] = [join(root, "above/inside"), join(root, "outside")];
    for (const path of [inside, join(outside, "a")]) mkdirSync(path, { recursive: true });
    symlinkSync(join(root, "runs/folder"), join(root, "above/folder"));
    symlinkSync(join(root, "above"), join(inside, "up"));
    symlinkSync("/", join(inside, "top"));
    writeRun(join(outside, "a/run"), { steps: 3, rollouts: 0 });
    symlinkSync(outside, join(inside, "out"));
    symlinkSync(outside, join(outside, "self"));
    symlinkSync(outside, join(outside, "a/back"));
    expect(findRuns(["above/inside"], root).map(({ id }) => id)).toEqual(["above/inside/out/a/run"]);
    for (const path of [join(root, "above"), outside]) rmSync(path, { recursive: true });
  });

  it("is looked for below each root as far, also where that is far below another", () => {
    const far = "far/a/b/c";
    writeRun(join(root, far, "d/run"), { steps: 3, rollouts: 0 });
    expect(findRuns(["far"], root)).toEqual([]);
    expect(findRuns(["far", far], root).map(({ id }) => id)).toEqual([`${far}/d/run`]);
    rmSync(join(root, "far"), { recursive: true });
  });

  it("is found once, whatever names it", () => {
    expect(findRuns(["runs", "runs/r1", "runs/folder/deep/"], root)).toHaveLength(3);
  });
});

describe("a pipeline", () => {
  it("is told with its stages, also those that have not begun", () => {
    const card = pipelineCard("runs/r1", join(root, "runs/r1"));
    expect(card).toMatchObject({ name: "r1", seed: 4, state: "interrupted", seconds: 24, problem: undefined });
    expect(card.stages.map(({ name, state, needs }) => [name, state, needs])).toEqual([
      ["base", "finished", []],
      ["zero", "begun", ["base"]],
      ["later", "waiting", []],
    ]);
  });

  it("whose files are damaged says so, and stops nothing", () => {
    const path = join(root, "damaged");
    mkdirSync(path);
    writeFileSync(join(path, "pipeline.yaml"), "name: x\n");
    writeFileSync(join(path, "lineage.json"), "{}");
    expect(pipelineCard("damaged", path).problem).toMatch(/not as Aha writes them/);
  });
});

describe("aha dashboard", () => {
  const run = async (...args: string[]) => {
    const controller = new AbortController();
    const console = recordedConsole({ signal: controller.signal });
    const ended = command.run([...args, "--port", "0", "--json"], console);
    const stop = setTimeout(() => controller.abort(), 300);
    try {
      return { code: await ended, ...console };
    } finally {
      clearTimeout(stop);
    }
  };

  it("says where it is, and ends with the signal", async () => {
    const { code, stdout } = await run(join(root, "runs"));
    expect(code).toBe(0);
    expect(JSON.parse(stdout())).toMatchObject({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/$/),
      pid: process.pid,
    });
  });

  it.each([
    ["nothing/here", /does not exist/],
    [join(import.meta.dirname, "pipeline.test.ts"), /is a file/],
    [import.meta.dirname, /has no run in it/],
  ])("refuses %s", async (path, message) => {
    await expect(run(path)).rejects.toThrow(message);
  });

  it("refuses an option that it does not have, and a port that is none", async () => {
    await expect(command.run(["--prot", "1"], recordedConsole())).rejects.toThrow(/Did you mean --port/);
    await expect(command.run(["--port", "x"], recordedConsole())).rejects.toThrow(/whole number from 0 to 65535/);
  });
});
