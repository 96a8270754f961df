/** The same engine on WebGPU and on the CPU: what both are asked, and how far their answers are apart. */

import { appendFileSync } from "node:fs";
import { expect } from "vitest";
import type { Datum } from "../../src/engine/contract/policy.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";

export const ADAM = {
  ...{ learningRate: 3e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01 },
  maxGradNorm: 1,
};

/** Two prompts with three completions each; lengths differ. The shorter prompt has `promptTokens`. */
export function someData(vocabSize: number, promptTokens = 5): Datum[] {
  return [0, 1].flatMap((p) =>
    [0, 1, 2].map((g) => {
      const prompt = Int32Array.from({ length: promptTokens + 2 * p }, (_, t) => (3 * t + 7 * p + 1) % vocabSize);
      const length = 4 + 2 * g + p;
      const completionTokens = Int32Array.from({ length }, (_, t) => (t * 7 + g * 13 + p * 5) % vocabSize);
      return {
        promptTokens: prompt,
        completionTokens,
        weights: new Float32Array(length).fill(0.05),
        entropyWeights: new Float32Array(length).fill(0.01),
        advantages: new Float32Array(length).fill(g - 0.9),
        samplerLogprobs: new Float32Array(length).fill(-3.5),
        refLogprobs: new Float32Array(length).fill(-3.6),
      };
    }),
  );
}

/** What two optimizer steps, and log-probabilities after them, come to. */
export async function trained(engine: LocalPolicy, data: readonly Datum[], loss: LossSpec) {
  const steps: { loss: number; norm: number }[] = [];
  for (let step = 0; step < 2; step++) {
    const { loss: value } = await engine.forwardBackward(data, loss);
    const { gradNorm } = await engine.optimStep(ADAM);
    steps.push({ loss: value, norm: gradNorm! });
  }
  const { logprobs, entropies } = await engine.score(data, { temperature: 1 });
  return { steps, logprobs: logprobs.map((one) => [...one]), entropies: entropies!.map((one) => [...one]) };
}

type Trained = Awaited<ReturnType<typeof trained>>;

/** The largest differences: relative of losses and norms, absolute of log-probabilities and entropies. */
export function differences(found: Trained, expected: Trained) {
  const relative = (name: "loss" | "norm") =>
    Math.max(...expected.steps.map((step, i) => Math.abs(found.steps[i]![name] / step[name] - 1)));
  const absolute = (name: "logprobs" | "entropies") =>
    Math.max(...expected[name].flatMap((own, i) => own.map((value, t) => Math.abs(found[name][i]![t]! - value))));
  return {
    loss: relative("loss"),
    norm: relative("norm"),
    logprobs: absolute("logprobs"),
    entropies: absolute("entropies"),
  };
}

/** `AHA_WEBGPU_TABLE=FILE` appends numbers as a line of JSON; docs/gpu.md has them. */
export function record(name: string, numbers: Readonly<Record<string, number>>): void {
  const table = process.env.AHA_WEBGPU_TABLE;
  if (table) appendFileSync(table, `${JSON.stringify({ name, ...numbers })}\n`);
}

/** What differs is rounding: up to 1e-5, or what `most` allows. */
export function expectRoundingApart(
  apart: ReturnType<typeof differences>,
  most: Partial<ReturnType<typeof differences>> = {},
): void {
  const limits = { loss: 1e-5, norm: 1e-5, logprobs: 1e-5, entropies: 1e-5, ...most };
  for (const what of ["loss", "norm", "logprobs", "entropies"] as const) {
    expect(apart[what], what).toBeLessThan(limits[what]);
  }
}
