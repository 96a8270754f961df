/** A family of models that a program brings: a name, and the decoder's switches under it. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CheckpointError,
  ConfigError,
  exportGguf,
  extend,
  loadModel,
  type ModelFamily,
  parseRecipe,
  prepareRecipe,
  runRecipe,
} from "aha-rl";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Norms of queries and keys as in Qwen3, biases as in Qwen2. */
const toyformer: ModelFamily = {
  name: "toyformer",
  className: "ToyformerForCausalLM",
  switches: () => ({ qkNorm: true, attentionBias: true, attentionOutputBias: false, mlpBias: false }),
  hasMlpBiasKey: false,
  defaultHeadDim: () => 8,
  defaultKvHeads: 1,
  defaultContextTokens: 64,
};

const SHAPE =
  "hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96";
const recipe = (model: string) =>
  parseRecipe(
    `
name: own-family
model: ${model}
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 2, maxCompletionTokens: 8 }
engine: { threads: 1 }
trainer: sft
steps: 2
batchTokens: 256
learningRate: 1e-2
`,
    "own.yaml",
  );

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-family-"));
  extend({ families: [toyformer] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function train(name: string, model: string): Promise<string> {
  const prepared = await prepareRecipe(recipe(model), { out: join(root, name) });
  try {
    await runRecipe(prepared);
  } finally {
    await prepared.close();
  }
  return join(root, name, "model");
}

const NEW = `{ init: { architecture: toyformer, tokenizer: countdown-compact, ${SHAPE} } }`;

it("is trained from random weights by its name, saved under transformers' names, and read again", async () => {
  const model = await train("new", NEW);
  const written = JSON.parse(readFileSync(join(model, "config.json"), "utf8")) as Record<string, unknown>;
  expect(written).toMatchObject({ model_type: "toyformer", architectures: ["ToyformerForCausalLM"] });
  const { config, values } = await loadModel(model);
  expect(config).toMatchObject({
    architecture: "toyformer",
    ...toyformer.switches({ attention_bias: false, mlp_bias: false }),
  });
  const names = [...values.keys()];
  expect(names.some((name) => /qNorm/.test(name)) && names.some((name) => /qBias/.test(name))).toBe(true);
  // Biases start at 0, so what they are now they have learned.
  const bias = names.find((name) => /qBias/.test(name))!;
  expect(values.get(bias)!.some((value) => value !== 0)).toBe(true);
  const further = await train("further", `{ path: ${model} }`);
  expect((await loadModel(further)).config.architecture).toBe("toyformer");
});

it("is refused where llama.cpp has no such architecture, and under another class", async () => {
  const model = join(root, "new", "model");
  await expect(exportGguf(model, join(root, "toy.gguf"), { name: "toy" })).rejects.toThrow(CheckpointError);
  await expect(exportGguf(model, join(root, "toy.gguf"), { name: "toy" })).rejects.toThrow(
    /llama\.cpp has no architecture for toyformer/,
  );
});

it("is named with the others where a recipe names none that there is, and registered once", () => {
  expect(() => recipe(NEW.replace("architecture: toyformer", "architecture: toyforme"))).toThrow(
    /architecture: expected "llama" or .* or "toyformer", got the text "toyforme"; did you mean "toyformer"\?/,
  );
  expect(() => extend({ families: [toyformer] })).toThrow(ConfigError);
});
