import { afterEach, describe, expect, it, vi } from "vitest";
import type { AdamParams, Datum, Engine } from "../../src/engine/engine.ts";
import { sequenceGraph } from "../../src/engine/local/programs.ts";
import { Graph } from "../../src/graph/tensor.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import type { ParameterValues } from "../../src/model/parameters.ts";
import { Random } from "../../src/random.ts";
import { MODELS, modelValues, openEngine } from "./models.ts";

const LOSSES: readonly LossSpec[] = [
  { name: "cross_entropy" },
  { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0.2, temperature: 0.8 },
];
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };

/** Two prompts with three completions each, of lengths that share no divisor with a chunk. */
function ragged(vocabSize: number, seed = 1): Datum[] {
  const random = new Random(seed, "chunks");
  const tokens = (length: number) => Int32Array.from({ length }, () => random.integer(vocabSize));
  return [4, 1].flatMap((promptLength) => {
    const promptTokens = tokens(promptLength);
    return Array.from({ length: 3 }, () => {
      const length = 1 + random.integer(9);
      const column = (draw: () => number) => Float32Array.from({ length }, draw);
      return {
        promptTokens,
        completionTokens: tokens(length),
        weights: column(() => 0.02 + 0.02 * random.uniform()),
        advantages: column(() => random.normal()),
        samplerLogprobs: column(() => -3.4 + 0.2 * random.normal()),
        refLogprobs: column(() => -3.4 + 0.2 * random.normal()),
      };
    });
  });
}

/** Everything that a call of `forwardBackward` finds out: its result and the gradient of each parameter. */
async function learned(
  config: ModelConfig,
  loss: LossSpec,
  logitChunkTokens?: number,
  data = ragged(config.vocabSize),
) {
  const values = modelValues(config);
  const before: ParameterValues = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
  const engine: Engine = openEngine(config, values, {
    microBatchTokens: 24,
    ...(logitChunkTokens && { logitChunkTokens }),
  });
  const scores = await engine.forward(data, { temperature: 0.7, policy: "policy" });
  const result = await engine.forwardBackward(data, loss);
  await engine.optimStep(DESCENT);
  await engine.dispose();
  const gradients = new Map([...values].map(([name, w]) => [name, before.get(name)!.map((value, i) => value - w[i]!)]));
  return { scores, result, gradients };
}

const norm = (values: Iterable<number>) => Math.hypot(...values);
const gap = (a: Float32Array, b: Float32Array) => norm(a.map((value, i) => value - b[i]!)) / norm(b);

describe.each(Object.entries(MODELS))("logits in chunks, %s", (_, config) => {
  const cases = LOSSES.flatMap((loss) => [1, 3, 7, 1000].map((chunk) => [loss.name, chunk, loss] as const));
  it.each(cases)("%s in chunks of %i tokens: as with whole logits, to 1e-6 relative", async (_, chunk, loss) => {
    const [whole, chunked] = [await learned(config, loss), await learned(config, loss, chunk)];
    expect(Math.abs(chunked.result.loss / whole.result.loss - 1)).toBeLessThan(1e-6);
    for (const [own, expected] of [
      [chunked.scores, whole.scores],
      [chunked.result, whole.result],
    ] as const) {
      for (const name of ["logprobs", "entropies"] as const) {
        own[name].forEach((row, i) => {
          expect(gap(row, expected[name][i]!), name).toBeLessThan(1e-6);
        });
      }
    }
    const flat = ({ gradients }: typeof whole) => Float32Array.from([...gradients.values()].flatMap((own) => [...own]));
    expect(gap(flat(chunked), flat(whole))).toBeLessThan(1e-6);
    for (const [name, gradient] of chunked.gradients) {
      // A bias of keys hardly matters to a softmax: what is left of its gradient is small beside its terms' rounding.
      expect(gap(gradient, whole.gradients.get(name)!), name).toBeLessThan(name.endsWith("kBias") ? 1e-5 : 2e-6);
    }
  });
});
