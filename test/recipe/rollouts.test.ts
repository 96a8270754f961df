/** What a run leaves of its completions: rollouts in files, completion samples, evaluations of several samples. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import { bestCheckpoint, requireMetric } from "../../src/recipe/best-checkpoint.ts";
import { drawnSamples } from "../../src/recipe/completion-samples.ts";
import { evaluationSchema } from "../../src/recipe/evaluation.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { lettersTask } from "../train/letters.ts";
import { runSmoke } from "./smoke.ts";

const OVERRIDES = [
  "stages.cold-start.steps=2",
  "stages.cold-start.checkpointEvery=0",
  "stages.cold-start.batchTokens=256",
  "stages.r1-zero.iterations=4",
  "stages.r1-zero.evaluateEvery=2",
  "stages.r1-zero.checkpointEvery=1",
  "stages.r1-zero.maxCompletionTokens=16",
  // So that updates read every completion, those without an advantage too.
  "stages.r1-zero.entropyCoef=0.001",
  "evaluation={problems: 3, samples: 4, passAt: [1, 3], topK: 40, greedy: always, maxCompletionTokens: 8}",
  "bestCheckpoint={metric: passAt3}",
  "rollouts={format: parquet, logprobs: true, maxFileBytes: 4000, keepFiles: 3}",
  "completionSamples={share: 0.5}",
];

let root: string;
let whole: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-completions-"));
  whole = join(root, "whole");
  await runSmoke(whole, { overrides: OVERRIDES });
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** Everything of a run that has to be the same however often it was interrupted. */
function reproducible(path: string): Record<string, string> {
  const names = readdirSync(path).filter((name) => /^(metrics|evaluations|rollouts)/.test(name));
  const samples = readdirSync(join(path, "completion_samples")).map((name) => join("completion_samples", name));
  return Object.fromEntries(
    [...names, ...samples].map((name) => [name, readFileSync(join(path, name)).toString("base64")]),
  );
}

describe("a run", () => {
  it("keeps its newest rollouts in Parquet files, with tokens and what the sampler gave them", async () => {
    const files = readdirSync(whole).filter((name) => name.startsWith("rollouts"));
    expect(files.length).toBe(3);
    expect(files.every((name) => /^rollouts-\d{6}\.parquet$/.test(name))).toBe(true);
    const rollouts = await readRollouts(whole);
    expect(rollouts.length).toBeGreaterThan(6);
    expect(rollouts.at(-1)!.iteration).toBe(3);
    for (const { lengthTokens, tokens, samplerLogprobs, samplerLogprob, promptTokens, solved } of rollouts) {
      expect([tokens!.length, samplerLogprobs!.length]).toEqual([lengthTokens, lengthTokens]);
      expect(samplerLogprob).toBeCloseTo(
        samplerLogprobs!.reduce((sum: number, one) => sum + one!, 0),
        3,
      );
      expect(promptTokens).toBeGreaterThan(3);
      expect(solved).toBeTypeOf("boolean");
    }
  });

  it("keeps what updates saw of each token", async () => {
    for (const { ratios, entropies, lengthTokens } of await readRollouts(whole)) {
      expect([ratios!.length, entropies!.length]).toEqual([lengthTokens, lengthTokens]);
      for (const ratio of ratios!) expect(Math.abs(ratio! - 1)).toBeLessThan(0.05);
      for (const entropy of entropies!) expect(entropy).toBeGreaterThan(0);
    }
  });

  it("evaluates several samples of each problem, also greedily, under TRL's names too", () => {
    const { evaluations, summary } = readRun(whole);
    const during = evaluations.filter(({ moment }) => moment === "during");
    expect(during.map(({ decoding }) => decoding)).toEqual(["sampled", "greedy"]);
    const [sampled, greedy] = during;
    expect(sampled!.sampling).toEqual({ temperature: 1, topP: 1, topK: 40, samples: 4 });
    expect(sampled!.completions).toHaveLength(12);
    expect(sampled!.statistics.passAt1).toBe(sampled!.statistics.solveRate);
    for (const name of ["passAt3", "majorityRate"]) expect(sampled!.statistics).toHaveProperty(name);
    expect(greedy!.sampling).toMatchObject({ temperature: 0, samples: 1 });
    expect(greedy!.statistics).not.toHaveProperty("passAt3");
    expect(sampled!.metrics).toMatchObject({ "eval_completions/mean_length": sampled!.statistics.meanLength });
    expect(summary!.best).toMatchObject({ metric: "passAt3" });
  });

  it("leaves the same files where it was interrupted", async () => {
    const path = join(root, "stopped");
    for (const stopAt of [1, 3]) {
      const controller = new AbortController();
      const attempt = runSmoke(path, {
        overrides: OVERRIDES,
        resume: existsSync(path),
        signal: controller.signal,
        observe: (event) => {
          if (event.type === "metrics" && event.stage === "r1-zero" && event.row.iteration === stopAt)
            controller.abort();
        },
      });
      await expect(attempt).rejects.toThrow(RunInterrupted);
    }
    await runSmoke(path, { overrides: OVERRIDES, resume: true });
    expect(reproducible(path)).toEqual(reproducible(whole));
    expect(statSync(join(whole, "completion_samples", "completion_samples.txt")).size).toBeGreaterThan(100);
  });
});

it("SFT has TRL's metrics", () => {
  const golden: { trainer: string[]; sft: string[] } = JSON.parse(
    readFileSync(join(import.meta.dirname, "../golden/trl-metrics.json"), "utf8"),
  );
  const [row] = readRun(whole).metrics;
  // No mixtures of experts; and a generator has no epochs.
  const names = [...golden.trainer, ...golden.sft].filter((name) => name !== "aux_loss" && name !== "epoch");
  for (const name of names) expect(row, name).toHaveProperty(name);
  expect(row!.mean_token_accuracy).toBeGreaterThanOrEqual(0);
  expect(row!.mean_token_accuracy).toBeLessThan(0.5);
});

describe("completion samples", () => {
  const row = (iteration: number, sample: number, solved: boolean) => ({
    ...{ iteration, sample, solved, promptId: 3, prompt: "Think: <think>", completion: `${iteration}.${sample}` },
    ...{ rewards: {}, reward: 1, advantage: 0, finishReason: "stop" as const, promptTokens: 1, lengthTokens: 1 },
    ...{ tokens: new Int32Array(1), samplerLogprobs: new Float32Array(1) },
  });
  const rows = Array.from({ length: 2000 }, (_, i) => row(Math.floor(i / 8), i % 8, i % 2 === 0));

  it("are a share of all completions, and of those that are solved, each drawn for itself", () => {
    const { all, solved } = drawnSamples(rows, { share: 0.1 }, 7);
    expect(Math.abs(all.length - 200)).toBeLessThan(60);
    expect(Math.abs(solved.length - 100)).toBeLessThan(45);
    expect(solved.every((text) => all.includes(text))).toBe(false);
    expect(all[0]).toMatch(/^<think>\d+\.\d$/);
    // Whatever else is in a call, a completion is drawn or not.
    expect(drawnSamples(rows.slice(800, 816), { share: 0.1 }, 7).all).toEqual(
      all.filter((text) => /^<think>10[01]\./.test(text)),
    );
    expect(drawnSamples(rows, { share: 0.1 }, 8).all).not.toEqual(all);
  });

  it("are all of them at 1, and none at 0", () => {
    expect(drawnSamples(rows, { share: 1 }, 7).all).toHaveLength(2000);
    expect(drawnSamples(rows, { share: 0 }, 7)).toEqual({ all: [], solved: [] });
  });

  it("stand in the file as Mini-R1 lays them out", () => {
    const text = readFileSync(join(whole, "completion_samples", "completion_samples.txt"), "utf8");
    expect(text.startsWith("\n\n==============\n<think>")).toBe(true);
    expect(text.split("\n\n==============\n").length).toBeGreaterThan(3);
  });
});

describe("the metric of the best checkpoint", () => {
  const evaluation = (text: object) => evaluationSchema.parse(text);

  it("may be pass@k or the majority vote where there are several samples", () => {
    const several = evaluation({ samples: 8, passAt: [5] });
    for (const metric of ["passAt5", "majorityRate", "reflectionRate", "meanTerminatedLength"]) {
      expect(() => requireMetric({ metric, decoding: "sampled" }, several, lettersTask)).not.toThrow();
    }
    const refuse = (metric: string, config: object) => () =>
      requireMetric({ metric, decoding: "sampled" }, evaluation(config), lettersTask);
    expect(refuse("passAt5", {})).toThrow(/no statistic passAt5.*set evaluation\.samples/);
    expect(refuse("passAt4", { samples: 8, passAt: [5] })).toThrow(/Did you mean passAt5\?/);
  });

  it("may be of greedy answers where every evaluation has them", () => {
    const greedy = { metric: "solveRate", decoding: "greedy" } as const;
    expect(() => requireMetric(greedy, evaluation({ greedy: "always" }), lettersTask)).not.toThrow();
    expect(() => requireMetric(greedy, evaluation({}), lettersTask)).toThrow(/evaluation\.greedy is stages/);
    const state = { stage: "s", step: 1, moment: "during" } as const;
    const records = [
      { ...state, decoding: "sampled" as const, statistics: { solveRate: 0.9 } },
      { ...state, step: 2, decoding: "greedy" as const, statistics: { solveRate: 0.5 } },
    ];
    expect(bestCheckpoint(records, { ...greedy, mode: "max" })).toMatchObject({ name: "s-000002", value: 0.5 });
  });

  it("pass@k beyond the samples is refused with the recipe", () => {
    expect(() => evaluation({ samples: 4, passAt: [2, 8] })).toThrow(/pass@8 needs as many samples/);
  });
});
