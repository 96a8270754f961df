/** A run without an engine: a recipe, steps that only write their logs, checkpoints of a few bytes. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunDirectory } from "../../src/run/run-directory.ts";

/** The resolved recipe of it. */
export const RECIPE = { name: "toy", seed: 1, stages: [{ name: "only", steps: 10, learningRate: 0.001 }] };

const STATE = { afterStage: null, moment: "before only", intervals: { solveRate: [0, 1] }, greedy: {}, solveRate: 0.5 };
/** Of the finished run. */
export const SUMMARY = {
  recipe: "toy",
  question: "",
  seed: 1,
  recipeHash: "00",
  seconds: 1,
  model: { parameters: 1, vocabSize: 1 },
  start: STATE,
  before: STATE,
  after: STATE,
  stages: [],
};

/** A stand-in for training: steps from `from` (exclusive) to `to`, a checkpoint after every second one. */
export async function train(run: RunDirectory, from: number, to: number, keep = 10): Promise<void> {
  const log = run.stage("only");
  for (let step = from + 1; step <= to; step++) {
    log.metrics({ step, loss: 1 / step });
    log.rollouts([rollout(step)]);
    log.timing({ step, step_time: performance.now() });
    if (step % 2 === 0) await checkpoint(run, step, keep);
  }
}

/** A checkpoint after `step`. */
export function checkpoint(run: RunDirectory, step: number, keep = 10, stageComplete = false) {
  return run.saveCheckpoint({ stage: "only", step, trainerState: { step }, stageComplete, keep }, async (directory) => {
    mkdirSync(join(directory, "engine"));
    writeFileSync(join(directory, "engine", "weights.bin"), Buffer.alloc(64, step));
  });
}

/** The completion of `step`. */
export function rollout(step: number) {
  return {
    iteration: step,
    promptId: 7,
    prompt: "1 + 1 = ",
    completion: "2 — zwei",
    rewards: { equation: { score: null, reason: "abstained" } },
    reward: null,
    advantage: 0,
    finishReason: "stop" as const,
    lengthTokens: 3,
  };
}
