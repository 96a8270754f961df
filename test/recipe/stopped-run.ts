/** The smoke recipe as short as it gets, whole and stopped: both end with the same bytes. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import type { RunEvent } from "../../src/recipe/observer.ts";
import { runSmoke } from "./smoke.ts";

/** Every part of the recipe, as short as it gets. */
export const SHORT = [
  ...["stages.cold-start.steps=4", "stages.cold-start.checkpointEvery=2"],
  ...["stages.cold-start.batchTokens=128", "stages.cold-start.warmupSteps=1", "evaluation.problems=2"],
  ...["evaluation.maxCompletionTokens=8", "stages.r1-zero.iterations=2", "stages.r1-zero.maxCompletionTokens=8"],
  ...["stages.r1-zero.promptsPerIteration=1", "stages.r1-zero.minibatchesPerIteration=1"],
  ...["stages.r1-zero.updatesPerIteration=1", "stages.r1-zero.evaluateEvery=0"],
];

/** The files of a run that are the same for the same seed. */
export function bytesOf(path: string): Record<string, string> {
  const files = ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "model/model.safetensors"];
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(path, file)).toString("base64")]));
}

/** Runs the recipe with these overrides in folders of `root`, once whole, once stopped and resumed until it is done. */
export async function expectSameBytesWhenStopped(root: string, overrides: readonly string[]): Promise<void> {
  const all = [...SHORT, ...overrides];
  const whole = join(root, "whole");
  expect(await runSmoke(whole, { overrides: all })).toBeDefined();

  const stopped = join(root, "stopped");
  let sessions = 0;
  for (let finished = false; !finished; sessions++) {
    const controller = new AbortController();
    let seen = 0;
    const observe = (event: RunEvent) => {
      if (event.type === "metrics" && ++seen === 3) controller.abort();
    };
    finished = await runSmoke(stopped, {
      ...{ overrides: all, resume: sessions > 0, observe },
      signal: controller.signal,
    }).then(
      () => true,
      (error: unknown) => {
        expect(error).toBeInstanceOf(RunInterrupted);
        return false;
      },
    );
  }
  expect(sessions).toBeGreaterThan(1);
  expect(bytesOf(stopped)).toEqual(bytesOf(whole));
}
