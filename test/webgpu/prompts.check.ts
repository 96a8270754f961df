/** Prompts of any length: what is sampled behind them has the log-probability that scoring gives it. */

import { expect, it } from "vitest";
import { MODELS, openEngine } from "../engine/models.ts";
import { gpu } from "./device.ts";

it("prompts around the lengths at which the provider's attention changes its ways", async () => {
  const config = { ...MODELS["tied, query and key norms"], headDim: 16, maxContextTokens: 80 };
  const engine = await openEngine(config, undefined, {}, {}, undefined, gpu);
  const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 1, iteration: 0 };
  for (const length of [3, 31, 32, 33, 63, 64, 70]) {
    const tokens = Int32Array.from({ length }, (_, t) => (5 * t + 2) % config.vocabSize);
    const prompts = [{ tokens, numSamples: 2, promptId: 0 }];
    for (const sample of await engine.sample(prompts, { ...sampling, maxCompletionTokens: 3 })) {
      const { logprobs } = await engine.score([{ promptTokens: tokens, completionTokens: sample.tokens }], {
        temperature: 1,
      });
      sample.logprobs.forEach((value, t) => {
        expect(Math.abs(value - logprobs[0]![t]!), `${length} tokens, completion token ${t}`).toBeLessThan(2e-5);
      });
    }
  }
  await engine.dispose();
});
