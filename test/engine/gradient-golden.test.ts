import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { AdamParams, Datum } from "../../src/engine/contract/policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { type ParameterValues, parameterSpecs } from "../../src/model/parameters.ts";
import { openEngine } from "./models.ts";

/** Of each tensor of a checkpoint its norm, and some elements by flat index. */
type Summary = Readonly<Record<string, { norm: number; indices: number[]; values: number[] }>>;

interface Golden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly tolerance: { loss: number; gradNormRelative: number; gradientOfNorm: number; weights: number };
  readonly adam: AdamParams;
  readonly cases: readonly {
    readonly model: string;
    readonly loss: LossSpec;
    readonly data: readonly {
      prompt: number[];
      completion: number[];
      weights: number[];
      advantages: number[];
      samplerLogprobs: number[];
      refLogprobs: number[];
    }[];
    readonly steps: readonly { loss: number; gradNorm: number; weights: Summary; gradients?: Summary }[];
  }[];
}

const folder = new URL("../golden/", import.meta.url);
const golden: Golden = JSON.parse(await readFile(new URL("gradients.json", folder), "utf8"));
const { tolerance } = golden;
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };

/** The parameters' own memory by the names of the checkpoint. */
function checkpointTensors(config: ModelConfig, values: ParameterValues): Map<string, Float32Array> {
  return new Map(parameterSpecs(config).map(({ name, checkpointName }) => [checkpointName, values.get(name)!]));
}

describe(`on Qwen3 checkpoints, like PyTorch ${golden.versions.torch} with transformers ${golden.versions.transformers}`, () => {
  const titled = golden.cases.map((c) => [`${c.model}, ${JSON.stringify(c.loss)}`, c] as const);
  it.each(titled)(
    "%s: loss, gradient of every tensor, and weights after two AdamW steps",
    async (_, { model, loss, steps, ...rest }) => {
      const directory = fileURLToPath(new URL(`models/${model}`, folder));
      const { config, values } = await loadModel(directory);
      const data: Datum[] = rest.data.map((row) => ({
        promptTokens: Int32Array.from(row.prompt),
        completionTokens: Int32Array.from(row.completion),
        weights: Float32Array.from(row.weights),
        advantages: Float32Array.from(row.advantages),
        samplerLogprobs: Float32Array.from(row.samplerLogprobs),
        refLogprobs: Float32Array.from(row.refLogprobs),
      }));
      const engine = await openEngine(config, values, { microBatchTokens: 48 });

      // The gradient, read from the move of one step of gradient descent, which is then taken back.
      const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
      await engine.forwardBackward(data, loss);
      await engine.optimStep(DESCENT);
      const gradients = new Map([...values].map(([name, w]) => [name, before.get(name)!.map((v, i) => v - w[i]!)]));
      for (const [name, weights] of values) weights.set(before.get(name)!);
      const first = checkpointTensors(config, gradients);
      expect([...first.keys()].sort()).toEqual(Object.keys(steps[0]!.gradients!).sort());
      for (const [name, { norm, indices, values: expected }] of Object.entries(steps[0]!.gradients!)) {
        const own = first.get(name)!;
        expect(Math.abs(Math.hypot(...own) / norm - 1), `norm of ${name}`).toBeLessThan(tolerance.gradNormRelative);
        indices.forEach((index, i) => {
          const gap = Math.abs(own[index]! - expected[i]!) / norm;
          expect(gap, `${name}[${index}]`).toBeLessThan(tolerance.gradientOfNorm);
        });
      }
      await engine.dispose();

      const trained = await openEngine(config, values, { microBatchTokens: 48 });
      const tensors = checkpointTensors(config, values);
      for (const [number, step] of steps.entries()) {
        const result = await trained.forwardBackward(data, loss);
        expect(Math.abs(result.loss - step.loss), `loss of step ${number}`).toBeLessThan(tolerance.loss);
        const { gradNorm } = await trained.optimStep(golden.adam);
        expect(Math.abs(gradNorm! / step.gradNorm - 1), `norm of step ${number}`).toBeLessThan(
          tolerance.gradNormRelative,
        );
        for (const [name, { indices, values: expected }] of Object.entries(step.weights)) {
          indices.forEach((index, i) => {
            const gap = Math.abs(tensors.get(name)![index]! - expected[i]!);
            expect(gap, `${name}[${index}] after step ${number}`).toBeLessThan(tolerance.weights);
          });
        }
      }
      await trained.dispose();
    },
  );
});
