/** SFT with noise on the embeddings (`neftuneNoiseAlpha`), from a recipe, with the real engine. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunInterrupted } from "../../src/errors.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { runSmoke } from "./smoke.ts";

const RECIPE = `
name: neftune
question: Does noise on the embeddings change what SFT learns, and nothing else?
seed: 1
model:
  init: { architecture: qwen3, tokenizer: characters, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 384 }
task: { name: countdown, prompt: compact }
evaluation: { problems: 2, maxCompletionTokens: 8 }
engine: { threads: 1 }
stages:
  - { name: cold-start, trainer: sft, steps: 3, batchTokens: 768, learningRate: 1.0e-2, evalLossEvery: 1 }
`;
const ALPHA = "stages.cold-start.neftuneNoiseAlpha=5";
/** So small a step that no weight moves. */
const STILL = "stages.cold-start.learningRate=1e-30";

let root: string;
let recipe: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-neftune-"));
  recipe = join(root, "recipe.yaml");
  writeFileSync(recipe, RECIPE);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const run = (name: string, overrides: readonly string[]) => runSmoke(join(root, name), { recipe, overrides });
const column = (name: string, key: string) => readRun(join(root, name)).metrics.map((row) => row[key]);
const bytesOf = (name: string) =>
  ["metrics.jsonl", "model/model.safetensors"].map((file) => readFileSync(join(root, name, file)).toString("base64"));

describe("neftuneNoiseAlpha", () => {
  it("changes the loss of training, and not the loss on held-out demonstrations of the same weights", async () => {
    await run("still", [STILL]);
    await run("noisy", [STILL, ALPHA]);
    expect(column("noisy", "eval_loss")).toEqual(column("still", "eval_loss"));
    column("noisy", "loss").forEach((loss, i) => {
      expect(Math.abs((loss as number) - (column("still", "loss")[i] as number))).toBeGreaterThan(1e-5);
    });
  });

  it("resumes to the byte", async () => {
    await run("whole", [ALPHA]);
    const path = join(root, "cut");
    const controller = new AbortController();
    const cut = runSmoke(path, {
      recipe,
      overrides: [ALPHA],
      signal: controller.signal,
      observe: (event) => {
        if (event.type === "metrics" && event.row.step === 2) controller.abort();
      },
    });
    await expect(cut).rejects.toThrow(RunInterrupted);
    await runSmoke(path, { recipe, overrides: [ALPHA], resume: true });
    expect(bytesOf("cut")).toEqual(bytesOf("whole"));
  });
});
