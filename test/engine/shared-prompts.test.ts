import { describe, expect, it } from "vitest";
import { SAMPLING_CHECKS } from "../../src/engine/conformance/sampling-checks.ts";
import type { SamplingParams } from "../../src/engine/contract/sampling.ts";
import { KeyValueCache } from "../../src/engine/local/key-value-cache.ts";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import { affordableSharedRows, sharesPrompts } from "../../src/engine/local/shared-prompts.ts";
import { ONNX_RUNTIME_CPU, ONNX_RUNTIME_WEBGPU } from "../../src/graph/target.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { Random } from "../../src/random.ts";
import { emptyDirectory, MODELS, openEngine } from "./models.ts";

const TIED = MODELS["tied, query and key norms"];
const LORA = { rank: 3, alpha: 6, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const SAMPLING: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  maxCompletionTokens: 12,
  stopTokenIds: [1, 4, 6],
  seed: 3,
  iteration: 1,
};

/** Prompts of 1 to 19 tokens with 1 to 5 samples each. */
function prompts({ vocabSize }: ModelConfig) {
  const random = new Random(1, "shared prompts");
  return Array.from({ length: 7 }, (_, promptId) => ({
    tokens: Int32Array.from({ length: 1 + ((promptId * 7) % 19) }, () => random.integer(vocabSize)),
    numSamples: 1 + ((3 * promptId) % 5),
    promptId,
  }));
}

async function sampled(config: ModelConfig, limits: GivenLimits, form?: WeightForm) {
  const engine = await openEngine(config, undefined, limits, form);
  try {
    return await engine.sample(prompts(config), SAMPLING);
  } finally {
    await engine.dispose();
  }
}

async function requireEqual(config: ModelConfig, limits: GivenLimits, form?: WeightForm) {
  const whole = await sampled(config, { promptSharing: "never" }, form);
  const shared = await sampled(config, { ...limits, promptSharing: "always" }, form);
  expect(new Set(whole.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(3);
  expect(shared.map(({ tokens }) => [...tokens])).toEqual(whole.map(({ tokens }) => [...tokens]));
  shared.forEach(({ logprobs }, i) => {
    for (const [t, logprob] of logprobs.entries())
      expect(Math.abs(logprob - whole[i]!.logprobs[t]!)).toBeLessThan(5e-6);
  });
}

describe("sampling with prompts that are read once", () => {
  it.each(Object.entries(MODELS))("draws what sampling with whole rows draws: %s", async (_, config) => {
    await requireEqual(config, {});
  });

  it("does so where sequences and prompts wait for a place", async () => {
    await requireEqual(TIED, { maxSlots: 3 });
    await requireEqual(TIED, { maxSlots: 1 });
  });

  it("does so with an adapter, and with packed weights", async () => {
    await requireEqual(TIED, {}, { lora: LORA });
    await requireEqual({ ...TIED, hiddenSize: 64, intermediateSize: 64 }, {}, { lora: LORA, quantization: "nf4" });
  });

  const open = () => openEngine(TIED, undefined, { promptSharing: "always", maxSlots: 5 });
  it.each(SAMPLING_CHECKS.map((check) => [check.name, check] as const))("%s", (_, check) =>
    check.run({ open, emptyDirectory }),
  );
});

describe("whether prompts are shared", () => {
  const shape = { longestPrompt: 250, promptTokens: 1000, prompts: 4, sequences: 32, maxCompletionTokens: 96 };
  const asMeasured = { promptSharing: "measured" } as const;
  const config = { ...TIED, numHeads: 9, numKvHeads: 3, maxContextTokens: 2048 };
  const shares = (changed: Partial<typeof shape>, model: ModelConfig = config) =>
    sharesPrompts(model, ONNX_RUNTIME_CPU, asMeasured, { ...shape, ...changed });

  it("is decided by the lengths of prompts and completions and by the size of the groups", () => {
    expect(shares({})).toBe(true);
    expect(shares({ longestPrompt: 191, promptTokens: 4 * 191 })).toBe(false);
    expect(shares({ longestPrompt: 192, promptTokens: 4 * 192 })).toBe(true);
    expect(shares({ maxCompletionTokens: 125 })).toBe(true);
    expect(shares({ maxCompletionTokens: 126 })).toBe(false);
    expect(shares({ sequences: 28 })).toBe(false);
    // One long prompt among short ones.
    expect(shares({ longestPrompt: 600 })).toBe(false);
    expect(sharesPrompts(config, ONNX_RUNTIME_WEBGPU, asMeasured, shape)).toBe(false);
  });

  it("is no where a sequence may outgrow the window of a layer", () => {
    const sliding = { ...config, slidingWindow: 350, layers: [{ slides: true, rope: "global" } as const] };
    expect(shares({}, sliding)).toBe(true);
    expect(shares({ maxCompletionTokens: 101 }, sliding)).toBe(false);
    const always = { promptSharing: "always" } as const;
    expect(sharesPrompts(sliding, ONNX_RUNTIME_CPU, always, { ...shape, maxCompletionTokens: 101 })).toBe(false);
  });

  it("leaves more sequences a place in the same memory", () => {
    const position = KeyValueCache.rowBytes(config, "float32", 1);
    const rows = (cacheBytes: number) => affordableSharedRows(config, "float32", { maxSlots: 256, cacheBytes }, shape);
    expect(rows(4 * 250 * position + 32 * 96 * position)).toBe(32);
    expect(rows(4 * 250 * position + 8 * 96 * position)).toBe(8);
    // Too little for four prompts at once: each row has one of its own.
    expect(rows(3 * (250 + 96) * position)).toBe(3);
    expect(rows(0)).toBe(1);
  });
});
