import { describe, expect, it } from "vitest";
import type { Datum } from "../../src/engine/contract/policy.ts";
import type { SamplingParams } from "../../src/engine/contract/sampling.ts";
import { EngineError } from "../../src/errors.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { Random } from "../../src/random.ts";
import { TabularEngine } from "./tabular-engine.ts";

const V = 5;
const newEngine = () => new TabularEngine({ vocabSize: V, seed: 2, initStd: 1 });
const params: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  maxCompletionTokens: 1,
  stopTokenIds: [0],
  seed: 4,
  iteration: 0,
};

/** Random data with every column, some ratios inside and some outside the clip. */
function someData(seed: number): Datum[] {
  const random = new Random(seed, "data");
  return [3, 1, 4].map((length) => ({
    promptTokens: Int32Array.from({ length: 2 }, () => random.integer(V)),
    completionTokens: Int32Array.from({ length }, () => random.integer(V)),
    weights: Float32Array.from({ length }, () => random.uniform()),
    advantages: new Float32Array(length).fill(random.normal()),
    samplerLogprobs: Float32Array.from({ length }, () => -3 * random.uniform()),
    refLogprobs: Float32Array.from({ length }, () => -3 * random.uniform()),
  }));
}

describe("the reference engine", () => {
  it.each<LossSpec>([
    { name: "cross_entropy" },
    { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0, temperature: 1 },
    { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0.5, temperature: 0.7 },
  ])("has the gradient of its loss, by finite differences: %o", async (loss) => {
    const engine = newEngine();
    const data = someData(1);
    await engine.forwardBackward(data, loss);
    const gradient = engine.gradient();
    const weights = engine.weights();
    const lossAt = async (index: number, change: number) => {
      const moved = weights.slice();
      moved[index]! += change;
      const probe = newEngine();
      probe.setWeights(moved);
      return (await probe.forwardBackward(data, loss)).loss;
    };
    for (let index = 0; index < weights.length; index++) {
      const slope = ((await lossAt(index, 1e-3)) - (await lossAt(index, -1e-3))) / 2e-3;
      expect(Math.abs(slope - gradient[index]!)).toBeLessThan(2e-3);
    }
  });

  it("samples with the frequencies of its distribution", async () => {
    const engine = newEngine();
    const prompt = Int32Array.of(3);
    const draws = await engine.sample([{ tokens: prompt, numSamples: 4000, promptId: 0 }], params);
    for (let token = 0; token < V; token++) {
      const datum = { promptTokens: prompt, completionTokens: Int32Array.of(token) };
      const { logprobs } = await engine.score([datum], { temperature: 1 });
      const share = draws.filter(({ tokens }) => tokens[0] === token).length / draws.length;
      expect(Math.abs(share - Math.exp(logprobs[0]![0]!))).toBeLessThan(0.03);
    }
  });

  it("draws only what top-k and top-p leave, with log-probabilities over the whole vocabulary", async () => {
    const engine = newEngine();
    const prompt = { tokens: Int32Array.of(3), numSamples: 500, promptId: 0 };
    const [greedy] = await engine.sample([{ ...prompt, numSamples: 1 }], { ...params, temperature: 0 });
    for (const narrow of [{ topK: 1 }, { topP: 1e-6 }]) {
      const draws = await engine.sample([prompt], { ...params, ...narrow });
      expect(new Set(draws.map(({ tokens }) => tokens[0]))).toEqual(new Set([greedy!.tokens[0]]));
      expect(draws[0]!.logprobs[0]).toBe(greedy!.logprobs[0]);
      expect(draws[0]!.logprobs[0]).toBeLessThan(-0.01);
    }
    const two = await engine.sample([prompt], { ...params, topK: 2 });
    expect(new Set(two.map(({ tokens }) => tokens[0])).size).toBe(2);
  });

  it("draws no stop token before minCompletionTokens", async () => {
    const prompt = { tokens: Int32Array.of(3), numSamples: 200, promptId: 0 };
    const long = { ...params, maxCompletionTokens: 8, minCompletionTokens: 3 };
    const draws = await newEngine().sample([prompt], long);
    expect(Math.min(...draws.map(({ tokens }) => tokens.length))).toBe(4);
  });

  it("clips by global norm, decays the table and not the bias, and clears the gradient", async () => {
    const engine = newEngine();
    const before = engine.weights();
    const adam = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.5, maxGradNorm: 1 };
    // A gradient of 0 leaves only the decay to move weights: the table's.
    const silent = someData(3).map((datum) => ({ ...datum, weights: datum.weights.map(() => 0) }));
    await engine.forwardBackward(silent, { name: "cross_entropy" });
    expect(await engine.optimStep(adam)).toEqual({ gradNorm: 0, applied: true });
    const after = engine.weights();
    expect(after[0]).toBeCloseTo(before[0]! * 0.95, 6);
    expect([...after.slice(V * V)]).toEqual([...before.slice(V * V)]);
    await engine.forwardBackward(someData(3), { name: "cross_entropy" });
    const { gradNorm } = await engine.optimStep(adam);
    expect(gradNorm).toBeGreaterThan(0);
    expect(Math.hypot(...engine.gradient())).toBe(0);
  });

  it("does not apply a non-finite gradient", async () => {
    const engine = newEngine();
    const data = someData(1).map((datum) => ({ ...datum, weights: datum.weights.fill(Number.NaN) }));
    await engine.forwardBackward(data, { name: "cross_entropy" });
    const before = engine.weights();
    const adam = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
    expect((await engine.optimStep(adam)).applied).toBe(false);
    expect(engine.weights()).toEqual(before);
    expect(Math.hypot(...engine.gradient())).toBe(0);
  });

  it("refuses what the contract does not allow", async () => {
    const engine = newEngine();
    const [datum] = someData(1);
    const adam = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
    await expect(engine.optimStep(adam)).rejects.toThrow(EngineError);
    const scored = { temperature: 1, policy: "reference" } as const;
    await expect(engine.score([datum!], scored)).rejects.toThrow(EngineError);
    const grpo: LossSpec = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0, temperature: 1 };
    const { advantages: _, ...without } = datum!;
    await expect(engine.forwardBackward([without], grpo)).rejects.toThrow(/needs 3 advantages/);
    const empty = { tokens: new Int32Array(0), numSamples: 1, promptId: 0 };
    await expect(engine.sample([empty], params)).rejects.toThrow(EngineError);
    const stray = { tokens: Int32Array.of(V), numSamples: 1, promptId: 0 };
    await expect(engine.sample([stray], params)).rejects.toThrow(/Token 5/);
  });
});
