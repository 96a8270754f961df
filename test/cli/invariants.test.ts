/**
 * What must not change the result of a run, through the built program: how sequences are cut into micro-batches and laid
 * out, how often it is run, how many threads compute; and the sampler and the trainer must have one policy.
 *
 * Tolerances are of f32: sums in another order differ by about 1e-7 relative. They are of the first optimizer step: Adam
 * divides a gradient by its own size, so that rounding in a gradient near 0 becomes a step of full size, and later steps
 * of any two programs differ by more.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { MetricsRecord } from "../../src/run/records.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { requireProgram, runProgram } from "./program.ts";

/** Relative, of losses and gradient norms; absolute, of a policy gradient's loss, which is about 0. */
const ROUNDING = 1e-5;
/** Nats. */
const LOGPROB_TOLERANCE = 1e-4;

let root: string;
/** A model that has seen a few demonstrations: what it writes differs in length and in reward. */
let base: string;
beforeAll(async () => {
  requireProgram();
  root = mkdtempSync(join(tmpdir(), "aha-invariants-"));
  base = join(await run(stages({ ...SFT, steps: 40 })), "model");
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const SFT = { name: "sft", trainer: "sft", steps: 1, batchTokens: 1024, learningRate: 0.004 };
/** A group of 8 completions of one prompt. */
const GRPO = {
  name: "grpo",
  trainer: "grpo",
  iterations: 1,
  promptsPerIteration: 1,
  groupSize: 8,
  maxCompletionTokens: 64,
  rewards: [{ name: "format" }, { name: "equation", options: { wrongScore: 0.1 } }],
  klCoef: 0.05,
  learningRate: 0.003,
};

const stages = (...list: readonly object[]) => `stages=${JSON.stringify(list)}`;
const fromBase = () => `model={path: ${base}}`;

let runs = 0;

/** `aha run` of the smoke recipe with other stages; the run directory. */
async function run(...sets: readonly string[]): Promise<string> {
  const out = join(root, String(runs++));
  const all = ["evaluation.problems=2", "evaluation.maxCompletionTokens=8", ...sets];
  const args = ["run", SMOKE_RECIPE, ...all.flatMap((set) => ["--set", set]), "--out", out, "--quiet"];
  const { code, stderr } = await runProgram(args);
  expect([code, stderr]).toEqual([0, ""]);
  return out;
}

const firstRow = (path: string): MetricsRecord => readRun(path).metrics[0]!;
const completions = async (path: string) => (await readRollouts(path)).map(({ completion }) => completion);

function expectClose(actual: MetricsRecord, expected: MetricsRecord, names: readonly string[]): void {
  for (const name of names) {
    const [own, wanted] = [actual[name] as number, expected[name] as number];
    expect(own, name).toBeTypeOf("number");
    expect(Math.abs(own - wanted) / Math.max(1, Math.abs(wanted)), `${name}: ${own}, ${wanted}`).toBeLessThan(ROUNDING);
  }
}

describe("micro-batches", () => {
  // One sequence at a time has no padding; all at once are padded to the longest; chunks of logits are packed.
  const layouts = {
    "8 × 1, without padding": ["engine.microBatchTokens=1"],
    "1 × 8, logits packed into chunks": ["engine.microBatchTokens=100000", "engine.logitChunkTokens=7"],
    "8 × 1, logits in chunks": ["engine.microBatchTokens=1", "engine.logitChunkTokens=7"],
  };
  const once = ["engine.microBatchTokens=100000", "engine.logitChunkTokens=100000"];
  let together: { readonly sft: string; readonly grpo: string };
  beforeAll(async () => {
    together = {
      sft: await run(stages(SFT), ...once),
      grpo: await run(fromBase(), stages(GRPO), ...once),
    };
    expect(new Set((await readRollouts(together.grpo)).map(({ lengthTokens }) => lengthTokens)).size).toBeGreaterThan(
      3,
    );
  });

  for (const [layout, sets] of Object.entries(layouts)) {
    it(`of 1 × 8, padded, and of ${layout} give one loss and gradient, in SFT and GRPO`, async () => {
      const sft = await run(stages(SFT), ...sets);
      expectClose(firstRow(sft), firstRow(together.sft), ["loss", "grad_norm", "entropy"]);
      const grpo = await run(fromBase(), stages(GRPO), ...sets);
      expect(await completions(grpo)).toEqual(await completions(together.grpo));
      const names = ["loss", "grad_norm", "entropy", "kl", "reward"];
      expectClose(firstRow(grpo), firstRow(together.grpo), names);
      expect(firstRow(grpo).grad_norm).toBeGreaterThan(0.01);
    });
  }
});

describe("the same recipe and seed", () => {
  it("give the same bytes in another process", async () => {
    const sets = [fromBase(), stages({ ...SFT, steps: 3 }, { ...GRPO, iterations: 3 })];
    const [one, other] = [await run(...sets), await run(...sets)];
    for (const file of ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "model/model.safetensors"]) {
      expect(readFileSync(join(one, file)).equals(readFileSync(join(other, file))), file).toBe(true);
    }
  });
});

describe("the number of threads", () => {
  it("changes no sample and no number of a first step beyond rounding", async () => {
    const [one, three] = [
      await run(fromBase(), stages(GRPO), "engine.threads=1"),
      await run(fromBase(), stages(GRPO), "engine.threads=3"),
    ];
    expect(await completions(three)).toEqual(await completions(one));
    expectClose(firstRow(three), firstRow(one), ["loss", "grad_norm", "entropy", "kl", "reward"]);
  });
});

describe("sampler and trainer", () => {
  it.each([
    ["at temperature 0.7, top-p 0.95, top-k 20", { temperature: 0.7, topP: 0.95, topK: 20 }, []],
    ["at temperature 1.3, top-p 0.5, logits in chunks", { temperature: 1.3, topP: 0.5 }, ["engine.logitChunkTokens=7"]],
  ])("have one policy %s: log-probabilities agree to 1e-4", async (_, keys, sets) => {
    const out = await run(fromBase(), stages({ ...GRPO, ...keys, iterations: 4 }), ...sets);
    const { metrics } = readRun(out);
    expect(metrics).toHaveLength(4);
    for (const row of metrics) {
      expect(row["sampling/sampling_logp_difference/max"]).toBeLessThan(LOGPROB_TOLERANCE);
      expect(row.entropy).toBeLessThan(Math.log(20));
    }
    // The policy moves away from its reference, which has the same tokens to choose from.
    expect(metrics[0]!.kl).toBeLessThan(1e-9);
    expect(metrics.at(-1)!.kl).toBeGreaterThan(1e-6);
  });
});
