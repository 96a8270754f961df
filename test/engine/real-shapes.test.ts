import { afterAll, expect, it } from "vitest";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { MODELS, openEngine } from "./models.ts";

/** Matrices that few rows are multiplied with on their left, and a vocabulary that is drawn from in blocks. */
const CONFIG = {
  ...MODELS["tied, query and key norms"],
  hiddenSize: 512,
  intermediateSize: 64,
  numLayers: 1,
  vocabSize: 4200,
};
const FORMS: [string, WeightForm][] = [
  ["the model", {}],
  ["an adapter", { lora: { rank: 4, alpha: 8, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS } }],
];
const engines: LocalPolicy[] = [];
afterAll(async () => {
  for (const engine of engines) await engine.dispose();
});

const SAMPLING = {
  temperature: 0.8,
  topP: 1,
  topK: 0,
  maxCompletionTokens: 4,
  stopTokenIds: [],
  seed: 3,
  iteration: 1,
};

it.each(FORMS)("the sampler's log-probabilities are the trainer's for any number of rows, %s", async (_, form) => {
  const engine = await openEngine(CONFIG, undefined, {}, form);
  engines.push(engine);
  for (const [prompts, numSamples] of [
    [1, 1],
    [4, 7],
    [9, 8],
  ] as const) {
    const list = Array.from({ length: prompts }, (_, promptId) => {
      return { tokens: Int32Array.of(5, promptId, 7 * promptId + 1), numSamples, promptId };
    });
    const samples = await engine.sample(list, SAMPLING);
    expect(samples).toHaveLength(prompts * numSamples);
    const data = samples.map(({ promptIndex, tokens }) => {
      return { promptTokens: list[promptIndex]!.tokens, completionTokens: tokens };
    });
    const { logprobs } = await engine.score(data, { temperature: SAMPLING.temperature });
    for (const [i, sample] of samples.entries()) {
      for (const [t, logprob] of sample.logprobs.entries()) {
        expect(Math.abs(logprob - logprobs[i]![t]!)).toBeLessThan(5e-5);
      }
    }
    // The same seed gives the same bytes.
    expect(await engine.sample(list, SAMPLING)).toEqual(samples);
  }
});
