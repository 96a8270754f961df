import { describe, expect, it } from "vitest";
import type { AdamParams } from "../../src/engine/contract/policy.ts";
import {
  checkpointTensors,
  dataOf,
  expectGoldenSteps,
  golden,
  LIMITS,
  readCase,
  titledCases,
} from "./golden-gradients.ts";
import { openEngine } from "./models.ts";

const { tolerance } = golden;
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };

describe(`on Qwen3 checkpoints, like PyTorch ${golden.versions.torch} with transformers ${golden.versions.transformers}`, () => {
  it.each(titledCases)("%s: loss, gradient of every tensor, and weights after two AdamW steps", async (_, one) => {
    const { config, values } = await readCase(one);
    const engine = await openEngine(config, values, LIMITS);
    // The gradient, read from the move of one step of gradient descent.
    const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    await engine.forwardBackward(dataOf(one), one.loss);
    await engine.optimStep(DESCENT);
    const gradients = new Map([...values].map(([name, w]) => [name, before.get(name)!.map((v, i) => v - w[i]!)]));
    await engine.dispose();
    const first = checkpointTensors(config, gradients);
    const expectedGradients = one.steps[0]!.gradients!;
    expect([...first.keys()].sort()).toEqual(Object.keys(expectedGradients).sort());
    for (const [name, { norm, indices, values: expected }] of Object.entries(expectedGradients)) {
      const own = first.get(name)!;
      expect(Math.abs(Math.hypot(...own) / norm - 1), `norm of ${name}`).toBeLessThan(tolerance.gradNormRelative);
      indices.forEach((index, i) => {
        const gap = Math.abs(own[index]! - expected[i]!) / norm;
        expect(gap, `${name}[${index}]`).toBeLessThan(tolerance.gradientOfNorm);
      });
    }
    await expectGoldenSteps(one);
  });
});
