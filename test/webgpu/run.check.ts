/** The smoke recipe on WebGPU: it ends, the same seed gives the same bytes, and a run that was stopped ends with them, too. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import type { RunEvent } from "../../src/recipe/observer.ts";
import { runSmoke } from "../recipe/smoke.ts";

/** Every part of the recipe, as short as it gets: a software driver is slow. */
const OVERRIDES = [
  ...["engine.device=webgpu", "stages.cold-start.steps=4", "stages.cold-start.checkpointEvery=2"],
  ...["stages.cold-start.batchTokens=128", "stages.cold-start.warmupSteps=1", "evaluation.problems=2"],
  ...["evaluation.maxCompletionTokens=8", "stages.r1-zero.iterations=2", "stages.r1-zero.maxCompletionTokens=8"],
  ...["stages.r1-zero.promptsPerIteration=1", "stages.r1-zero.minibatchesPerIteration=1"],
  ...["stages.r1-zero.updatesPerIteration=1", "stages.r1-zero.evaluateEvery=0"],
];

const root = mkdtempSync(join(tmpdir(), "aha-webgpu-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The files of a run that are the same for the same seed. */
function bytesOf(path: string): Record<string, string> {
  const files = ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "model/model.safetensors"];
  return Object.fromEntries(files.map((file) => [file, readFileSync(join(path, file)).toString("base64")]));
}

describe("a run on WebGPU", () => {
  it("that was stopped and resumed ends with the bytes of one that was not", async () => {
    const whole = join(root, "whole");
    const summary = await runSmoke(whole, { overrides: OVERRIDES });
    expect(summary).toBeDefined();

    const stopped = join(root, "stopped");
    let sessions = 0;
    for (let finished = false; !finished; sessions++) {
      const controller = new AbortController();
      let seen = 0;
      const observe = (event: RunEvent) => {
        if (event.type === "metrics" && ++seen === 3) controller.abort();
      };
      finished = await runSmoke(stopped, {
        ...{ overrides: OVERRIDES, resume: sessions > 0, observe },
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
  });
});
