/** What the noise of NEFTune is in the embedded engine; that it keeps the contract, `conformance.test.ts` checks. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { AdamParams, Datum, Policy } from "../../src/engine/contract/policy.ts";
import { noiseInputs } from "../../src/engine/local/embedding-noise.ts";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import { planMicroBatches } from "../../src/engine/local/micro-batches.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { hashString, philox } from "../../src/random.ts";
import { MODELS, modelValues, openEngine } from "./models.ts";

const CONFIG = MODELS["untied, biases, no norms, heads of 16"];
const H = CONFIG.hiddenSize;
const SILENT = { name: "cross_entropy" } as const;
const NOISE = { alpha: 5, seed: 11 };
const NOISY: LossSpec = { ...SILENT, embeddingNoise: NOISE };
const ADAM: AdamParams = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

const opened: Policy[] = [];
afterAll(() => Promise.all(opened.map((engine) => engine.dispose())));

async function open(limits: GivenLimits = {}, form: WeightForm = {}, values = modelValues(CONFIG)) {
  const engine = await openEngine(CONFIG, values, limits, form);
  opened.push(engine);
  return engine;
}

const datum = (promptTokens: readonly number[], completionTokens: readonly number[]): Datum => ({
  promptTokens: Int32Array.from(promptTokens),
  completionTokens: Int32Array.from(completionTokens),
  weights: new Float32Array(completionTokens.length).fill(0.05),
});

/** No token comes twice, so that noise on a position is noise on a row of the embedding. */
const DISTINCT = [datum([3, 17, 8, 1], [5, 20, 11, 2, 9]), datum([28], [14, 6]), datum([0, 7], [22, 4, 10, 16])];

/** Two share a prompt. */
const SHARED = [datum([3, 4, 5], [6, 7]), datum([3, 4, 5], [8, 3, 4, 9, 1]), datum([2], [5, 6, 7])];

async function pass(engine: Policy, data: readonly Datum[], loss: LossSpec) {
  const { loss: value, logprobs } = await engine.forwardBackward(data, loss);
  return { loss: value, logprobs: logprobs.flatMap((row) => [...row]), ...(await engine.optimStep(ADAM)) };
}

function requireSame(
  found: Awaited<ReturnType<typeof pass>>,
  expected: Awaited<ReturnType<typeof pass>>,
  bound: number,
) {
  expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(bound);
  expect(Math.abs(found.gradNorm! / expected.gradNorm! - 1)).toBeLessThan(10 * bound);
  found.logprobs.forEach((logprob, i) => {
    expect(Math.abs(logprob - expected.logprobs[i]!)).toBeLessThan(20 * bound);
  });
}

/** ε·α/√(L·H) of one embedding, by its definition. */
function noiseAt(index: number, length: number, position: number, step = 0): Float64Array {
  const [a0, a1, b0, b1] = philox(NOISE.seed, hashString("noise on embeddings"), [position, index, step]).map(BigInt);
  const [a, b] = [(a1! << 32n) | a0!, (b1! << 32n) | b0!];
  const bound = NOISE.alpha / Math.sqrt(length * H);
  return Float64Array.from({ length: H }, (_, i) => {
    const line = BigInt.asUintN(64, a * BigInt(i) + b);
    const hash = BigInt.asIntN(64, (line ^ (line >> 32n)) * 0x9e3779b97f4a7c15n);
    return (bound * Number(hash)) / 2 ** 63;
  });
}

/** The model with the noise of these data, whose tokens are all distinct, in its embedding. */
function noisyModel(data: readonly Datum[], step = 0) {
  const values = modelValues(CONFIG);
  const embedding = values.get("embed")!;
  data.forEach(({ promptTokens, completionTokens }, index) => {
    const tokens = [...promptTokens, ...completionTokens];
    tokens.forEach((token, position) => {
      noiseAt(index, tokens.length, position, step).forEach((noise, i) => {
        embedding[token * H + i]! += noise;
      });
    });
  });
  return values;
}

const golden: Golden = JSON.parse(await readFile(new URL("../golden/neftune.json", import.meta.url), "utf8"));

interface Golden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly tolerance: { readonly logprob: number; readonly lossRelative: number; readonly gradNormRelative: number };
  readonly model: string;
  readonly alpha: number;
  readonly seed: number;
  readonly data: readonly { prompt: number[]; completion: number[]; weights: number[]; logprobs: number[] }[];
  readonly loss: number;
  readonly gradNorm: number;
}

it(`is what the hook of transformers ${golden.versions.transformers} adds to a batch of one, with the same ε`, async () => {
  const { model, alpha, seed, tolerance } = golden;
  const directory = fileURLToPath(new URL(`../golden/models/${model}`, import.meta.url));
  const { config, values } = await loadModel(directory);
  const engine = await openEngine(config, values);
  opened.push(engine);
  const data = golden.data.map(({ prompt, completion, weights }) => ({
    ...datum(prompt, completion),
    weights: Float32Array.from(weights),
  }));
  const { loss, logprobs } = await engine.forwardBackward(data, { ...SILENT, embeddingNoise: { alpha, seed } });
  const { gradNorm } = await engine.optimStep(ADAM);
  expect(Math.abs(loss / golden.loss - 1)).toBeLessThan(tolerance.lossRelative);
  expect(Math.abs(gradNorm! / golden.gradNorm - 1)).toBeLessThan(tolerance.gradNormRelative);
  golden.data.forEach(({ logprobs: expected }, i) => {
    expected.forEach((logprob, t) => {
      expect(Math.abs(logprobs[i]![t]! - logprob)).toBeLessThan(tolerance.logprob);
    });
  });
});

describe("noise on embeddings", () => {
  it.each<[string, GivenLimits]>([
    ["in one micro-batch", {}],
    ["in several", { microBatchTokens: 8 }],
  ])(
    "is α/√(L·H)·ε on every embedding, L each sequence's own length: loss, log-probabilities, gradient, %s",
    async (_, limits) => {
      const found = await pass(await open(limits), DISTINCT, NOISY);
      const expected = await pass(await open(limits, {}, noisyModel(DISTINCT)), DISTINCT, SILENT);
      requireSame(found, expected, 1e-6);
      const silent = await pass(await open(limits), DISTINCT, SILENT);
      expect(Math.abs(found.loss / silent.loss - 1)).toBeGreaterThan(1e-3);
    },
  );

  it("has mean 0 and variance α²/(3·L·H), and stays within its bound", () => {
    const length = 40;
    const values = Array.from({ length }, (_, position) => [...noiseAt(0, length, position)]).flat();
    const unit = values.map((value) => (value * Math.sqrt(length * H)) / NOISE.alpha);
    const mean = unit.reduce((sum, x) => sum + x, 0) / unit.length;
    const square = unit.reduce((sum, x) => sum + x * x, 0) / unit.length;
    expect(Math.max(...unit.map(Math.abs))).toBeLessThanOrEqual(1);
    // Of 960 values: standard deviations 0.019 and 0.0096.
    expect(Math.abs(mean)).toBeLessThan(0.07);
    expect(Math.abs(square - 1 / 3)).toBeLessThan(0.035);
    const [batch] = planMicroBatches(DISTINCT, 1000, { sharePrompts: false });
    const { magnitudes } = noiseInputs(batch!, DISTINCT, NOISE, H, { step: 0, dataBefore: 0 });
    const bounds = [9, 3, 6].map((own) => Math.fround(5 / Math.sqrt(own * H)));
    expect(new Set(magnitudes)).toEqual(new Set([0, ...bounds]));
    // Every token but the last of each sequence is somebody's input.
    expect(magnitudes.filter((magnitude) => magnitude > 0)).toHaveLength(8 + 2 + 5);
  });

  it.each<[string, WeightForm]>([
    ["all weights", {}],
    [
      "an adapter with dropout",
      { lora: { rank: 3, alpha: 5, dropout: 0.25, rsLora: false, targets: ALL_LORA_TARGETS } },
    ],
    [
      "an adapter on packed weights",
      { lora: { rank: 3, alpha: 5, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS }, quantization: "nf4" },
    ],
  ])("is the same however data are cut up, whole or checkpointed, logits in chunks or not: %s", async (_, form) => {
    const expected = await pass(await open({}, form), SHARED, NOISY);
    requireSame(await pass(await open({ microBatchTokens: 7 }, form), SHARED, NOISY), expected, 1e-6);
    if (!form.lora) requireSame(await pass(await open({ logitChunkTokens: 4 }, form), SHARED, NOISY), expected, 1e-6);
    expect(await pass(await open({ gradientCheckpointing: true }, form), SHARED, NOISY)).toEqual(expected);
  });

  it("is another one where two sequences share a prompt: each has a row of its own", async () => {
    const twice = [SHARED[0]!, SHARED[0]!];
    expect(planMicroBatches(twice, 100)[0]!.promptRows).toHaveLength(1);
    expect(planMicroBatches(twice, 100, { sharePrompts: false })[0]!.promptRows).toHaveLength(2);
    const { logprobs } = await pass(await open(), twice, NOISY);
    expect(logprobs[0]).not.toBe(logprobs[2]);
    const [first] = [await pass(await open(), [SHARED[0]!], NOISY)];
    expect(Math.abs(logprobs[0]! - first.logprobs[0]!)).toBeLessThan(1e-5);
  });

  it("α and seed are inputs of one program, and a loss without it is what it was", async () => {
    const engine = await open();
    const before = await engine.forwardBackward(SHARED, SILENT);
    for (const alpha of [1e-3, 5, 50])
      await engine.forwardBackward(SHARED, { ...SILENT, embeddingNoise: { alpha, seed: alpha > 1 ? 1 : 2 } });
    expect(await engine.forwardBackward(SHARED, SILENT)).toEqual(before);
  });
});
