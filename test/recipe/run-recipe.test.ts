import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import type { RunEvent } from "../../src/recipe/observer.ts";
import { readRun } from "../../src/run/run-reader.ts";
import type { RunSummary } from "../../src/run/summary.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { runSmoke } from "./smoke.ts";

/** Enough cold start that rewards differ, so that reinforcement learning moves the weights. */
const OVERRIDES = ["stages.cold-start.steps=40"];

let root: string;
let whole: string;
let summary: RunSummary;
const events: RunEvent[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-pipeline-"));
  whole = join(root, "whole");
  summary = await runSmoke(whole, { overrides: OVERRIDES, observe: (event) => events.push(event) });
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** Everything that has to be the same in two runs of one recipe and seed. */
function reproducible(path: string): Record<string, string> {
  const files = [
    "metrics.jsonl",
    "rollouts.jsonl",
    "evaluations.jsonl",
    "model/model.safetensors",
    "model/config.json",
  ];
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(path, file)).toString("base64")]));
}

describe("a pipeline", () => {
  it("logs one row of metrics per optimizer step of SFT and per iteration of GRPO", () => {
    const { metrics } = readRun(whole);
    const steps = (stage: string) => metrics.filter((row) => row.stage === stage).map((row) => row.step);
    expect(steps("cold-start")).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(steps("r1-zero")).toEqual([4, 8, 12, 16]);
  });

  it("logs every completion with its rewards and reasons", async () => {
    const rollouts = await readRollouts(whole);
    expect(rollouts).toHaveLength(4 * 2 * 4);
    for (const { rewards } of rollouts) {
      expect(Object.keys(rewards)).toEqual(["format", "equation"]);
      expect(rewards.format!.reason).not.toBe("");
    }
    expect(new Set(rollouts.map(({ reward }) => reward)).size).toBeGreaterThan(1);
  });

  it("keeps what the clock says out of what has to be reproducible", () => {
    const names = new Set(readRun(whole).metrics.flatMap((row) => Object.keys(row)));
    expect([...names].filter((name) => /time|second|speed/.test(name))).toEqual([]);
    expect(readRun(whole).timings).toHaveLength(40 + 4);
  });

  it("evaluates held-out problems, sampled and greedy, at the boundaries of stages, and sampled in between", () => {
    const moments = readRun(whole).evaluations.map(({ stage, moment, decoding, step }) => [
      stage,
      moment,
      decoding,
      step,
    ]);
    expect(moments).toEqual([
      ["cold-start", "before", "sampled", 0],
      ["cold-start", "before", "greedy", 0],
      ["cold-start", "after", "sampled", 40],
      ["cold-start", "after", "greedy", 40],
      ["r1-zero", "during", "sampled", 8],
      ["r1-zero", "after", "sampled", 16],
      ["r1-zero", "after", "greedy", 16],
    ]);
  });

  it("summarises before and after reinforcement learning, and what each stage made", () => {
    expect(summary).toMatchObject({ recipe: "countdown-smoke", seed: 1, start: { afterStage: null } });
    expect(summary.before).toMatchObject({ afterStage: "cold-start", moment: "after cold-start, before r1-zero" });
    expect(summary.after).toMatchObject({ afterStage: "r1-zero", moment: "after r1-zero" });
    for (const state of [summary.before, summary.after]) {
      for (const name of ["solveRate", "formatRate", "meanLength", "tries"]) expect(state[name]).toBeTypeOf("number");
      expect(state.greedy!.solveRate).toBeTypeOf("number");
    }
    expect(summary.stages).toMatchObject([
      { name: "cold-start", steps: 40, from: "initial", made: "cold-start-000040" },
      { name: "r1-zero", steps: 16, from: "cold-start-000040", made: "r1-zero-000016" },
    ]);
    expect(JSON.parse(readFileSync(join(whole, "summary.json"), "utf8"))).toEqual(summary);
  });

  it("keeps the newest checkpoints and those at the end of a stage", () => {
    expect(readdirSync(join(whole, "checkpoints")).sort()).toEqual([
      "cold-start-000040",
      "r1-zero-000008",
      "r1-zero-000012",
      "r1-zero-000016",
    ]);
    expect(existsSync(join(whole, "checkpoints", "r1-zero-000016", "manifest.json"))).toBe(true);
  });

  it("tells its observer what happens, in order", () => {
    const types = events
      .map(({ type }) => type)
      .filter((type) => !["progress", "metrics", "timing", "evaluating", "alarm"].includes(type));
    expect(types).toEqual([
      "ready",
      "evaluated",
      "evaluated",
      "stage-started",
      "evaluated",
      "evaluated",
      "stage-finished",
      "stage-started",
      "evaluated",
      "evaluated",
      "evaluated",
      "stage-finished",
      "finished",
    ]);
  });
});

describe("the same seed", () => {
  it("gives the same bytes, another one others", async () => {
    const again = join(root, "again");
    await runSmoke(again, { overrides: OVERRIDES });
    expect(reproducible(again)).toEqual(reproducible(whole));
    const other = join(root, "other");
    await runSmoke(other, { overrides: [...OVERRIDES, "seed=2"] });
    expect(reproducible(other)["metrics.jsonl"]).not.toBe(reproducible(whole)["metrics.jsonl"]);
  });
});

describe("an interrupted run", () => {
  it("that is stopped again and again ends with the bytes of one that was not", async () => {
    const path = join(root, "stopped");
    let sessions = 0;
    for (let finished = false; !finished; sessions++) {
      const controller = new AbortController();
      let seen = 0;
      const observe = (event: RunEvent) => {
        if (event.type === "metrics" && ++seen === 9) controller.abort();
        if (event.type === "evaluated" && sessions === 2) controller.abort();
      };
      const session = runSmoke(path, {
        overrides: OVERRIDES,
        resume: sessions > 0,
        signal: controller.signal,
        observe,
      });
      finished = await session.then(
        () => true,
        (error: unknown) => {
          expect(error).toBeInstanceOf(RunInterrupted);
          return false;
        },
      );
    }
    expect(sessions).toBeGreaterThan(4);
    expect(reproducible(path)).toEqual(reproducible(whole));
  });

  // What a kill leaves is what is on the disk at some moment: a copy of the directory taken there stands for it.
  it("that is killed at any moment ends with the bytes of one that was not", async () => {
    const moments = [3, 30, 84, 92];
    const path = join(root, "killed");
    let seen = 0;
    await runSmoke(path, {
      overrides: OVERRIDES,
      observe: ({ type }) => {
        // How often progress is told depends on the clock; what is logged does not.
        if (type !== "metrics" && type !== "timing" && type !== "evaluated") return;
        if (moments.includes(++seen)) cpSync(path, join(root, `killed-${seen}`), { recursive: true });
      },
    });
    const copies = readdirSync(root).filter((name) => name.startsWith("killed-"));
    expect(copies).toHaveLength(moments.length);
    for (const copy of copies) {
      rmSync(join(root, copy, "run.lock"));
      await runSmoke(join(root, copy), { overrides: OVERRIDES, resume: true });
      expect(reproducible(join(root, copy)), copy).toEqual(reproducible(whole));
    }
  });
});
