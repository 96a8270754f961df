/**
 * One step of GRPO as a recipe takes it, without rewards: `prompts` prompts of `prompt` tokens, `group` completions of exactly
 * `tokens` tokens each, and one update on all of them with random advantages. The first is not counted where there are more.
 */

import type { LossSpec } from "../src/losses/loss-spec.ts";
import { Random } from "../src/random.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB, seconds } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0, temperature: 1 } as LossSpec;
const ADAM = {
  ...{ learningRate: 1e-6, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0.2 },
};

export async function benchStep(options: BenchOptions): Promise<Figures> {
  const { prompts, group, prompt, tokens, repeat, seed } = options;
  const engine = await openEngine(options);
  const random = new Random(seed, "bench/step");
  const asked = Array.from({ length: prompts }, (_, promptId) => ({
    tokens: Int32Array.from({ length: prompt }, () => 3 + random.integer(engine.info.vocabSize - 3)),
    numSamples: group,
    promptId,
  }));
  const sampling = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: tokens, stopTokenIds: [], seed };
  const times: { sample: number; train: number }[] = [];
  const losses: number[] = [];
  for (let iteration = 0; iteration <= repeat; iteration++) {
    let samples: Awaited<ReturnType<typeof engine.sample>> = [];
    const sample = await seconds(async () => {
      samples = await engine.sample(asked, { ...sampling, iteration });
    });
    const data = samples.map((one, i) => ({
      promptTokens: asked[Math.floor(i / group)]!.tokens,
      completionTokens: one.tokens,
      weights: new Float32Array(one.tokens.length).fill(1 / (samples.length * one.tokens.length)),
      advantages: new Float32Array(one.tokens.length).fill(random.normal()),
      samplerLogprobs: one.logprobs,
    }));
    const train = await seconds(async () => losses.push((await engine.step(data, GRPO, ADAM)).loss));
    times.push({ sample, train });
  }
  await engine.dispose();
  const counted = times.length > 1 ? times.slice(1) : times;
  const [sample, train] = [median(counted.map((one) => one.sample)), median(counted.map((one) => one.train))];
  const completed = prompts * group * tokens;
  return {
    bench: "step",
    sample_s: sample,
    train_s: train,
    step_s: sample + train,
    sampled_tokens_per_s: completed / sample,
    trained_tokens_per_s: (completed + prompts * prompt) / train,
    loss: losses.at(-1)!,
    peak_memory_mib: peakMemoryMiB(),
  };
}
