/**
 * The families whose layers differ from each other, beside transformers: log-probabilities of whole texts and of
 * completions that share a prompt, gradients, and the sampler's cached decoding. Texts are longer than the windows.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { AdamParams } from "../../src/engine/contract/policy.ts";
import type { PromptLogprobs } from "../../src/engine/contract/session.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import { adaptedParameters, type LoraConfig } from "../../src/model/lora.ts";
import { foldAdapter } from "../../src/model/merge.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { parameterSpecs } from "../../src/model/parameters.ts";
import { adapterValues, openEngine } from "./models.ts";

interface Golden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly tolerance: { logprobs: number; loss: number; gradNormRelative: number; gradientOfNorm: number };
  readonly cases: readonly {
    readonly model: string;
    readonly parameterCount: number;
    readonly sequences: readonly { readonly tokens: number[]; readonly logprobs: number[] }[];
    readonly data: readonly { readonly prompt: number[]; readonly completion: number[] }[];
    readonly loss: number;
    readonly gradients: Readonly<Record<string, { norm: number; indices: number[]; values: number[] }>>;
  }[];
}

const folder = new URL("../golden/", import.meta.url);
const golden: Golden = JSON.parse(await readFile(new URL("family-numbers.json", folder), "utf8"));
const { tolerance, versions } = golden;
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };
const GREEDY = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 5, iteration: 0 } as const;

const load = (model: string) => loadModel(fileURLToPath(new URL(`families/${model}`, folder)));

function largestGap(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  return Array.from(found, (value, i) => Math.abs(value - expected[i]!)).reduce((a, b) => Math.max(a, b), 0);
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

describe.each(golden.cases)(`$model, like transformers ${versions.transformers}`, (expected) => {
  const { model, sequences, data } = expected;

  it("has as many parameters and the same log-probabilities, wherever a text is cut into prompt and completion", async () => {
    const { config, values } = await load(model);
    expect([...values.values()].reduce((sum, { length }) => sum + length, 0)).toBe(expected.parameterCount);
    const engine = await openEngine(config, values, { microBatchTokens: 256 });
    for (const { tokens, logprobs } of sequences) {
      const cuts = [...new Set([1, 2, Math.floor(tokens.length / 2), tokens.length - 1])];
      cuts.splice(0, cuts.length, ...cuts.filter((cut) => cut > 0 && cut < tokens.length));
      const scored = await engine.score(
        cuts.map((cut) => ({
          promptTokens: Int32Array.from(tokens.slice(0, cut)),
          completionTokens: Int32Array.from(tokens.slice(cut)),
        })),
        { temperature: 1 },
      );
      for (const [i, cut] of cuts.entries()) {
        expect(largestGap(scored.logprobs[i]!, logprobs.slice(cut - 1)), `cut at ${cut}`).toBeLessThan(
          tolerance.logprobs,
        );
      }
    }
    await engine.dispose();
  });

  it("has the same loss and gradient of every tensor", async () => {
    // Layers that are computed again have the same gradient whatever they are made of: the model with every switch does.
    for (const gradientCheckpointing of model === "gemma3-odd" ? [false, true] : [false]) {
      const { config, values } = await load(model);
      const engine = await openEngine(config, values, { microBatchTokens: 96, gradientCheckpointing });
      const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
      const batch = data.map(({ prompt, completion }) => ({
        promptTokens: Int32Array.from(prompt),
        completionTokens: Int32Array.from(completion),
        weights: new Float32Array(completion.length).fill(1),
      }));
      const { loss } = await engine.forwardBackward(batch, { name: "cross_entropy" });
      expect(Math.abs(loss - expected.loss)).toBeLessThan(tolerance.loss);
      await engine.optimStep(DESCENT);
      const whole = Math.hypot(...Object.values(expected.gradients).map(({ norm }) => norm));
      for (const { name, checkpointName } of parameterSpecs(config)) {
        const { norm: exact, indices, values: gradient } = expected.gradients[checkpointName]!;
        // A bias of keys moves every score alike where there is no RoPE: of its gradient only rounding is left.
        const norm = Math.max(exact, 1e-4 * whole);
        const own = values.get(name)!.map((value, i) => before.get(name)![i]! - value);
        expect(Math.abs(Math.hypot(...own) - exact) / norm, checkpointName).toBeLessThan(tolerance.gradNormRelative);
        indices.forEach((index, i) => {
          const gap = Math.abs(own[index]! - gradient[i]!) / norm;
          expect(gap, `${checkpointName}[${index}]`).toBeLessThan(tolerance.gradientOfNorm);
        });
      }
      await engine.dispose();
    }
  });

  it("samples over its cache with the log-probabilities that it scores, in a list and in pieces", async () => {
    const { config, values } = await load(model);
    const engine = await openEngine(config, values);
    const prompts = [3, 11, 24].map((length, promptId) => ({
      tokens: Int32Array.from(sequences.at(-1)!.tokens.slice(0, length)),
      numSamples: 2,
      promptId,
    }));
    const samples = await engine.sample(prompts, { ...GREEDY, maxCompletionTokens: 24 });
    const { logprobs } = await engine.score(
      samples.map(({ promptIndex, tokens }) => ({
        promptTokens: prompts[promptIndex]!.tokens,
        completionTokens: tokens,
      })),
      { temperature: 1 },
    );
    for (const [i, sample] of samples.entries()) {
      expect(largestGap(sample.logprobs, logprobs[i]!), `sample ${i}`).toBeLessThan(tolerance.logprobs);
    }
    const { tokens, logprobs: scored } = sequences.find(({ tokens: { length } }) => length === 40)!;
    expect(largestGap(await promptScores(engine, Int32Array.from(tokens)), scored)).toBeLessThan(tolerance.logprobs);
    await engine.dispose();
  });
});

describe.each(["gemma3-odd", "smollm3-window", "mistral-window"])("an adapter on %s", (model) => {
  const lora: LoraConfig = { rank: 2, alpha: 4, rsLora: false, dropout: 0, targets: ["q_proj", "o_proj", "down_proj"] };

  it("is the merged model, in scoring and in sampling, over a base in f32 and in 4 bits; and it learns", async () => {
    const { config, values } = await load(model);
    const adapter = adapterValues(config, lora);
    const data = golden.cases
      .find((one) => one.model === model)!
      .data.map(({ prompt, completion }) => ({
        promptTokens: Int32Array.from(prompt),
        completionTokens: Int32Array.from(completion),
        weights: new Float32Array(completion.length).fill(1 / 35),
      }));
    const merged = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    for (const { base, a, b, rank, scale } of adaptedParameters(config, lora)) {
      foldAdapter(merged.get(base.name)!, adapter.get(a.name)!, adapter.get(b.name)!, rank, scale);
    }
    const whole = await openEngine(config, merged);
    const { logprobs: expected } = await whole.score(data, { temperature: 1 });
    await whole.dispose();
    for (const quantization of [undefined, "nf4"] as const) {
      const engine = await openEngine(config, values, {}, { lora, quantization }, adapter);
      const { logprobs } = await engine.score(data, { temperature: 1 });
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
      await engine.dispose();
    }
  });
});
