/**
 * Every family on WebGPU: transformers' log-probabilities and gradients, sampling over a cache beside scoring, adapters, and how
 * far two optimizer steps are from the CPU's (`AHA_WEBGPU_TABLE`, as in `numbers.check.ts`).
 */

import { describe, expect, it } from "vitest";
import type { Device } from "../../src/compute/device.ts";
import {
  ADAPTED_FAMILIES,
  expectAdapter,
  expectGradients,
  expectSampling,
  expectScores,
  FAMILY_CASES,
  largestGap,
  loadCase,
  MODEL_CASES,
  versions,
} from "../engine/golden-families.ts";
import { openEngine } from "../engine/models.ts";
import { differences, expectRoundingApart, record, someData, trained } from "./compared.ts";
import { cpu, gpu } from "./device.ts";

const title = `$model on WebGPU, like transformers ${versions.transformers}`;

describe.each([...FAMILY_CASES, ...MODEL_CASES])(title, (one) => {
  it("has the same log-probabilities, wherever a text is cut into prompt and completion", async () => {
    await expectScores(one, gpu);
  });

  it("samples over its cache with the log-probabilities that it scores, in a list and in pieces", async () => {
    await expectSampling(one, gpu);
  });

  it("has the CPU's log-probabilities, and takes its optimizer steps", async () => {
    const onDevice = async (device: Device) => {
      const { config, values } = await loadCase(one);
      const engine = await openEngine(config, values, {}, {}, undefined, device);
      try {
        const data = someData(config.vocabSize, 12);
        const { logprobs } = await engine.score(data, { temperature: 1 });
        return { before: logprobs, after: await trained(engine, data, { name: "cross_entropy" }) };
      } finally {
        await engine.dispose();
      }
    };
    const expected = await onDevice(cpu);
    const found = await onDevice(gpu);
    const before = Math.max(...found.before.map((row, i) => largestGap(row, expected.before[i]!)));
    const apart = differences(found.after, expected.after);
    record(one.model, { before, ...apart });
    expect(before, "log-probabilities before a step").toBeLessThan(1e-5);
    // AdamW divides a gradient by its own size, so a step makes more of what was rounding.
    expectRoundingApart(apart, { logprobs: 3e-5, entropies: 3e-5 });
  });
});

describe.each(FAMILY_CASES)("$model on WebGPU", (one) => {
  it("has transformers' loss and gradient of every tensor", async () => {
    await expectGradients(one, gpu);
  });
});

describe.each(ADAPTED_FAMILIES)("an adapter on %s, on WebGPU", (model) => {
  it("is the merged model, in scoring and in sampling, over a base in f32 and in 4 bits; and it learns", async () => {
    await expectAdapter(model, gpu);
  });
});
