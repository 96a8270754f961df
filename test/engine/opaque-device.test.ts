/** The embedded engine on a device whose memory it cannot reach: everything that it does goes through the device seam. */

import { describe, expect, it } from "vitest";
import { runConformance } from "../../src/engine/conformance.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { OpaqueDevice } from "../compute/opaque-device.ts";
import { emptyDirectory, MODELS, openEngine } from "./models.ts";

const LORA = { rank: 3, alpha: 6, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const FORMS: Record<string, WeightForm> = {
  "whole weights": {},
  "packed weights and an adapter": { lora: LORA, quantization: "nf4" },
};

describe.each(Object.entries(FORMS))("on an opaque device, with %s", (_, form) => {
  it("keeps every promise of the contract, and lets go of every tensor", async () => {
    const device = new OpaqueDevice(2);
    const config = MODELS["tied, query and key norms"];
    const open = () => openEngine(config, undefined, { microBatchTokens: 24, maxSlots: 3 }, form, undefined, device);
    const results = await runConformance({ open, emptyDirectory });
    expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(device.held).toBe(0);
  });
});

/** What a draw of 4 sequences sends: a row, a place and three numbers of each, and shapes of 8 numbers. */
const DRAWN = 4 * 5 + 8;

describe("a decoding step on an opaque device", () => {
  it("sends a few numbers up and a token with its log-probability down, no logits and no cache", async () => {
    const device = new OpaqueDevice(2);
    const config = MODELS["tied, query and key norms"];
    const engine = await openEngine(config, undefined, {}, {}, undefined, device);
    const prompt = { tokens: Int32Array.of(3, 4, 5), numSamples: 4, promptId: 0 };
    const sample = async (maxCompletionTokens: number) => {
      const before = { ...device.moved };
      await engine.sample([prompt], {
        ...{ temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 1, iteration: 0 },
        maxCompletionTokens,
      });
      return { up: device.moved.up - before.up, down: device.moved.down - before.down };
    };
    await sample(9);
    const [short, long] = [await sample(8), await sample(9)];
    // ids, positions, last positions and rows of 4 sequences, and the longest one's length.
    const step = 4 * 4 + 1;

    expect(long.up - short.up).toBe(step + DRAWN);
    expect(long.down - short.down).toBe(4 * 2);
    await engine.dispose();
  });
});

describe("a training step on an opaque device", () => {
  it("sends its data up, and two numbers and those of each token down, however large the model is", async () => {
    const lengths = [4, 6];
    const data = lengths.map((length, g) => ({
      promptTokens: Int32Array.of(3, 4, 5),
      completionTokens: Int32Array.from({ length }, (_, t) => (t + g) % 20),
      weights: new Float32Array(length).fill(0.1),
    }));
    const adam = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 };
    const traffic = async (hiddenSize: number) => {
      const device = new OpaqueDevice(2);
      const config = { ...MODELS["tied, query and key norms"], hiddenSize };
      const engine = await openEngine(config, undefined, {}, {}, undefined, device);
      const step = () => engine.step(data, { name: "cross_entropy" }, adam);
      await step();
      const before = { ...device.moved };
      await step();
      await engine.dispose();
      return { up: device.moved.up - before.up, down: device.moved.down - before.down };
    };
    const [small, large] = [await traffic(20), await traffic(40)];
    expect(large).toEqual(small);
    // Loss and norm; of two completions of six positions log-probability, entropy and margin.
    expect(small.down).toBe(2 + 3 * 2 * 6);
    expect(small.up).toBeLessThan(400);
  });
});
