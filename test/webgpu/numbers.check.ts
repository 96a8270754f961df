/**
 * The CPU's numbers on WebGPU: every kind of program, two optimizer steps of each. What differs is rounding.
 */

import { describe, expect, it } from "vitest";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { MODELS, openEngine } from "../engine/models.ts";
import { differences, expectRoundingApart, record, someData, trained } from "./compared.ts";
import { cpu, gpu } from "./device.ts";

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.04, temperature: 1 } as LossSpec;
const LORA = { rank: 3, alpha: 6, dropout: 0.2, rsLora: false, targets: ALL_LORA_TARGETS };

interface Variant {
  readonly loss?: LossSpec;
  readonly limits?: GivenLimits;
  readonly form?: WeightForm;
}

const VARIANTS: Record<string, Variant> = {
  "cross-entropy": {},
  "GRPO with a KL term": { loss: GRPO },
  "several micro-batches": { loss: GRPO, limits: { microBatchTokens: 24 } },
  "logits in chunks": { loss: GRPO, limits: { logitChunkTokens: 4 } },
  "gradient checkpointing": { limits: { gradientCheckpointing: true } },
  "noise on embeddings": { loss: { ...CROSS_ENTROPY, embeddingNoise: { alpha: 5, seed: 3 } } as LossSpec },
  "an adapter with dropout": { form: { lora: LORA } },
  "packed weights and an adapter": { form: { lora: LORA, quantization: "nf4" } },
};

const config = MODELS["tied, query and key norms"];
const data = someData(config.vocabSize);

describe("numbers on WebGPU", () => {
  it.each(Object.entries(VARIANTS))("%s", async (name, { loss = CROSS_ENTROPY, limits = {}, form = {} }) => {
    const onDevice = async (device: typeof gpu | typeof cpu) => {
      const engine = await openEngine(config, undefined, limits, form, undefined, device);
      try {
        return await trained(engine, data, loss);
      } finally {
        await engine.dispose();
      }
    };
    const expected = await onDevice(cpu);
    const found = await onDevice(gpu);
    const apart = differences(found, expected);
    record(name, apart);
    expectRoundingApart(apart);
    // The same bytes again.
    expect(await onDevice(gpu)).toEqual(found);
  });

  it("are the CPU's tokens where completions are sampled", async () => {
    const sample = async (device: typeof gpu | typeof cpu) => {
      const engine = await openEngine(config, undefined, { maxSlots: 3 }, {}, undefined, device);
      const prompts = [0, 1].map((promptId) => ({
        tokens: Int32Array.of(3, 4, 5 + promptId),
        numSamples: 3,
        promptId,
      }));
      const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [1], seed: 1, iteration: 0 };
      const samples = await engine.sample(prompts, { ...sampling, maxCompletionTokens: 12 });
      await engine.dispose();
      return samples;
    };
    const [found, expected] = [await sample(gpu), await sample(cpu)];
    expect(found.map(({ tokens }) => [...tokens])).toEqual(expected.map(({ tokens }) => [...tokens]));
    const apart = found.flatMap(({ logprobs }, i) =>
      [...logprobs].map((p, t) => Math.abs(p - expected[i]!.logprobs[t]!)),
    );
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });
});
