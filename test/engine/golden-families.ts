/**
 * What transformers computes on the committed checkpoints (`test/golden/make_family_golden.py`, `make_model_golden.py`), for
 * every device: log-probabilities of whole texts and of completions that share a prompt, gradients, and the sampler's cached
 * decoding. Texts are longer than the windows, and longer than what a device's cached attention takes at once.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { Device } from "../../src/compute/device.ts";
import type { AdamParams } from "../../src/engine/contract/policy.ts";
import type { PromptLogprobs } from "../../src/engine/contract/session.ts";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { adaptedParameters, type LoraConfig } from "../../src/model/lora.ts";
import { foldAdapter } from "../../src/model/merge.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { type ParameterValues, parameterSpecs } from "../../src/model/parameters.ts";
import { adapterValues, emptyDirectory, openEngine } from "./models.ts";

interface ScoredText {
  readonly tokens: number[];
  readonly logprobs: number[];
}

/** A checkpoint in one of the golden folders, and the log-probabilities of texts. */
export interface ScoredModel {
  readonly folder: "families" | "models";
  readonly model: string;
  readonly sequences: readonly ScoredText[];
}

/** The same with gradients. */
export interface FamilyCase extends ScoredModel {
  readonly parameterCount: number;
  readonly data: readonly { readonly prompt: number[]; readonly completion: number[] }[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, { norm: number; indices: number[]; values: number[] }>>;
}

interface FamilyGolden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly tolerance: { logprobs: number; loss: number; gradNormRelative: number; gradientOfNorm: number };
  readonly cases: readonly Omit<FamilyCase, "folder">[];
}

interface ModelGolden {
  readonly cases: readonly { readonly model: string; readonly temperature: number; readonly sequences: ScoredText[] }[];
}

const root = new URL("../golden/", import.meta.url);
const readGolden = async <T>(name: string) => JSON.parse(await readFile(new URL(name, root), "utf8")) as T;
const golden = await readGolden<FamilyGolden>("family-numbers.json");
const { tolerance } = golden;

export const { versions } = golden;
export const FAMILY_CASES: readonly FamilyCase[] = golden.cases.map((one) => ({ folder: "families", ...one }));
/** Qwen2, Llama and Qwen3, with biases and scaled RoPE. */
export const MODEL_CASES: readonly ScoredModel[] = (await readGolden<ModelGolden>("model-logprobs.json")).cases
  .filter(({ temperature }) => temperature === 1)
  .map(({ model, sequences }) => ({ folder: "models", model, sequences }));

/** Families whose layers differ from each other, for adapters. */
export const ADAPTED_FAMILIES = ["gemma3-odd", "smollm3-window", "mistral-window"] as const;
const LORA: LoraConfig = {
  ...{ rank: 2, alpha: 4, rsLora: false, dropout: 0 },
  targets: ["q_proj", "o_proj", "down_proj"],
};

/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };
const GREEDY = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 5, iteration: 0 } as const;

export const loadCase = ({ folder, model }: ScoredModel) =>
  loadModel(fileURLToPath(new URL(`${folder}/${model}`, root)));

/** What is given to an engine beside its model. */
interface Given {
  readonly limits?: GivenLimits;
  readonly form?: WeightForm;
  readonly adapter?: ParameterValues;
  /** The CPU where it is absent. */
  readonly device: Device | undefined;
}

async function withEngine<T>(
  { config, values }: { readonly config: ModelConfig; readonly values: ParameterValues },
  { limits = {}, form = {}, adapter, device }: Given,
  use: (engine: LocalPolicy) => Promise<T>,
): Promise<T> {
  const engine = await openEngine(config, values, limits, form, adapter, ...(device ? [device] : []));
  try {
    return await use(engine);
  } finally {
    await engine.dispose();
  }
}

/** The largest absolute difference of as many numbers. */
export function largestGap(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  return Array.from(found, (value, i) => Math.abs(value - expected[i]!)).reduce((a, b) => Math.max(a, b), 0);
}

/** Log-probabilities of whole texts, wherever they are cut into prompt and completion. */
export async function expectScores(one: ScoredModel, device?: Device): Promise<void> {
  await withEngine(await loadCase(one), { limits: { microBatchTokens: 256 }, device }, async (engine) => {
    for (const { tokens, logprobs } of one.sequences) {
      const all = [...new Set([1, 2, Math.floor(tokens.length / 2), tokens.length - 1])];
      const cuts = all.filter((cut) => cut > 0 && cut < tokens.length);
      const scored = await engine.score(
        cuts.map((cut) => ({
          promptTokens: Int32Array.from(tokens.slice(0, cut)),
          completionTokens: Int32Array.from(tokens.slice(cut)),
        })),
        { temperature: 1 },
      );
      for (const [i, cut] of cuts.entries()) {
        const gap = largestGap(scored.logprobs[i]!, logprobs.slice(cut - 1));
        expect(gap, `${tokens.length} tokens, cut at ${cut}`).toBeLessThan(tolerance.logprobs);
      }
    }
  });
}

/** The loss of the case's data and its gradient of every tensor, read from the move of one step of gradient descent. */
export async function expectGradients(one: FamilyCase, device?: Device): Promise<void> {
  // Layers that are computed again have the same gradient whatever they are made of: the model with every switch does.
  for (const gradientCheckpointing of one.model === "gemma3-odd" ? [false, true] : [false]) {
    const { config, values } = await loadCase(one);
    const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    const batch = one.data.map(({ prompt, completion }) => ({
      promptTokens: Int32Array.from(prompt),
      completionTokens: Int32Array.from(completion),
      weights: new Float32Array(completion.length).fill(1),
    }));
    const limits = { microBatchTokens: 96, gradientCheckpointing };
    const after = await withEngine({ config, values }, { limits, device }, async (engine) => {
      const { loss } = await engine.forwardBackward(batch, { name: "cross_entropy" });
      expect(Math.abs(loss - one.loss)).toBeLessThan(tolerance.loss);
      await engine.optimStep(DESCENT);
      const directory = await emptyDirectory();
      await engine.saveWeights(directory);
      return (await loadModel(directory)).values;
    });
    const whole = Math.hypot(...Object.values(one.gradients).map(({ norm }) => norm));
    for (const { name, checkpointName } of parameterSpecs(config)) {
      const { norm: exact, indices, values: gradient } = one.gradients[checkpointName]!;
      // A bias of keys moves every score alike where there is no RoPE: of its gradient only rounding is left.
      const norm = Math.max(exact, 1e-4 * whole);
      const own = after.get(name)!.map((value, i) => before.get(name)![i]! - value);
      expect(Math.abs(Math.hypot(...own) - exact) / norm, checkpointName).toBeLessThan(tolerance.gradNormRelative);
      indices.forEach((index, i) => {
        const gap = Math.abs(own[index]! - gradient[i]!) / norm;
        expect(gap, `${checkpointName}[${index}]`).toBeLessThan(tolerance.gradientOfNorm);
      });
    }
  }
}

/**
 * Completions behind prompts around the windows and around 32 tokens have the log-probabilities that scoring gives them, and a
 * prompt's own tokens, computed in pieces, those of transformers.
 */
export async function expectSampling(one: ScoredModel, device?: Device): Promise<void> {
  await withEngine(await loadCase(one), { device }, async (engine) => {
    const text = one.sequences.at(-1)!.tokens;
    const prompts = [3, 11, 24, 31, 32, 40].map((length, promptId) => ({
      tokens: Int32Array.from(text.slice(0, length)),
      numSamples: 2,
      promptId,
    }));
    const samples = await engine.sample(prompts, { ...GREEDY, maxCompletionTokens: 16 });
    const { logprobs } = await engine.score(
      samples.map(({ promptIndex, tokens }) => ({
        promptTokens: prompts[promptIndex]!.tokens,
        completionTokens: tokens,
      })),
      { temperature: 1 },
    );
    for (const [i, { promptIndex, logprobs: sampled }] of samples.entries()) {
      const gap = largestGap(sampled, logprobs[i]!);
      expect(gap, `behind ${prompts[promptIndex]!.tokens.length} tokens`).toBeLessThan(tolerance.logprobs);
    }
    const { tokens, logprobs: scored } = one.sequences.find(({ tokens: { length } }) => length === 40)!;
    expect(largestGap(await promptScores(engine, Int32Array.from(tokens)), scored)).toBeLessThan(tolerance.logprobs);
  });
}

/** Log-probabilities of a prompt's own tokens, from a session that computes it in pieces while another is decoded. */
async function promptScores(engine: LocalPolicy, tokens: Int32Array): Promise<Float32Array> {
  const session = engine.openSession();
  const params = { ...GREEDY, maxCompletionTokens: 8 };
  const other = session.submit({ tokens: tokens.slice(0, 3), promptId: 1, sampleIndex: 0, params }, () => {});
  let scores: PromptLogprobs | undefined;
  const request = {
    ...{ tokens, promptId: 0, sampleIndex: 0, promptLogprobs: 1 },
    params: { ...params, maxCompletionTokens: 1 },
  };
  const scored = session.submit(
    request,
    () => {},
    (prompt) => {
      scores = prompt;
    },
  );
  await Promise.all([other.finished, scored.finished]);
  await session.close();
  return scores!.logprobs;
}

/** An adapter is the merged model, in scoring and in sampling, over a base in f32 and in 4 bits; and it learns. */
export async function expectAdapter(model: string, device?: Device): Promise<void> {
  const one = FAMILY_CASES.find((other) => other.model === model)!;
  const { config, values } = await loadCase(one);
  const adapter = adapterValues(config, LORA);
  const data = one.data.map(({ prompt, completion }) => ({
    promptTokens: Int32Array.from(prompt),
    completionTokens: Int32Array.from(completion),
    weights: new Float32Array(completion.length).fill(1 / 35),
  }));
  const merged = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
  for (const { base, a, b, rank, scale } of adaptedParameters(config, LORA)) {
    foldAdapter(merged.get(base.name)!, adapter.get(a.name)!, adapter.get(b.name)!, rank, scale);
  }
  const scoresOf = async (engine: LocalPolicy) => (await engine.score(data, { temperature: 1 })).logprobs;
  const expected = await withEngine({ config, values: merged }, { device }, scoresOf);
  for (const quantization of [undefined, "nf4"] as const) {
    const given = { form: { lora: LORA, quantization }, adapter, device };
    await withEngine({ config, values }, given, async (engine) => {
      const logprobs = await scoresOf(engine);
      if (quantization === undefined) {
        for (const [i, row] of logprobs.entries()) {
          expect(largestGap(row, expected[i]!)).toBeLessThan(tolerance.logprobs);
        }
      }
      const prompts = [{ tokens: data[0]!.promptTokens, numSamples: 3, promptId: 0 }];
      const samples = await engine.sample(prompts, { ...GREEDY, maxCompletionTokens: 16 });
      const again = await engine.score(
        samples.map(({ tokens }) => ({ promptTokens: data[0]!.promptTokens, completionTokens: tokens })),
        { temperature: 1 },
      );
      for (const [i, sample] of samples.entries()) {
        expect(largestGap(sample.logprobs, again.logprobs[i]!)).toBeLessThan(tolerance.logprobs);
      }
      const losses: number[] = [];
      for (let step = 0; step < 4; step++) {
        losses.push((await engine.forwardBackward(data, { name: "cross_entropy" })).loss);
        await engine.optimStep({ ...DESCENT, learningRate: 0.02, beta1: 0.9, beta2: 0.99, epsilon: 1e-8 });
      }
      expect(losses.at(-1)!, losses.join(" ")).toBeLessThan(losses[0]!);
    });
  }
}
