import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { modelSize } from "../../src/model/memory.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { parameterKind, writesToResidual } from "../../src/model/parameter-kinds.ts";
import { elementCount, parameterSpecs } from "../../src/model/parameters.ts";
import { MODEL_PRESETS, presetConfig } from "../../src/model/presets.ts";

const tiny = presetConfig("tiny", { vocabSize: 121, eosTokenId: 1, padTokenId: 0 });
const untied: ModelConfig = { ...tiny, tieWordEmbeddings: false };

function moments(values: Float32Array): { mean: number; std: number; kurtosis: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  const fourth = values.reduce((sum, x) => sum + (x - mean) ** 4, 0) / values.length;
  return { mean, std: Math.sqrt(variance), kurtosis: fourth / variance ** 2 };
}

describe("initializeParameters", () => {
  it("scaled: normal weights of standard deviation gain/√in, residual writers also / √(2L), gains 1", () => {
    const values = initializeParameters(untied, { seed: 3 });
    const expected: Record<string, number> = {
      embed: 0.02,
      "layers.0.q": 0.5 / Math.sqrt(96),
      "layers.1.gate": 0.5 / Math.sqrt(96),
      "layers.2.attnOut": 0.5 / Math.sqrt(96) / Math.sqrt(6),
      "layers.2.mlpDown": 0.5 / Math.sqrt(192) / Math.sqrt(6),
      head: 0.5 / Math.sqrt(96),
    };
    for (const [name, std] of Object.entries(expected)) {
      const found = moments(values.get(name)!);
      expect(found.std / std, name).toBeGreaterThan(0.97);
      expect(found.std / std, name).toBeLessThan(1.03);
      expect(Math.abs(found.mean) / std, name).toBeLessThan(0.05);
      expect(Math.abs(found.kurtosis - 3), name).toBeLessThan(0.25);
    }
    for (const name of ["layers.0.attnNorm", "layers.0.qNorm", "layers.2.kNorm", "layers.1.mlpNorm", "finalNorm"]) {
      expect(
        values.get(name)!.every((gain) => gain === 1),
        name,
      ).toBe(true);
    }
  });

  it("normal: one standard deviation for every matrix", () => {
    const values = initializeParameters(untied, { seed: 3, init: { scheme: "normal" } });
    for (const { name } of parameterSpecs(untied)) {
      if (parameterKind(name) === "norm") continue;
      expect(Math.abs(moments(values.get(name)!).std / 0.02 - 1), name).toBeLessThan(0.03);
    }
  });

  it("takes std, embeddingStd and gain", () => {
    const stdOf = (init: Parameters<typeof initializeParameters>[1]["init"], name: string) =>
      moments(initializeParameters(tiny, { seed: 1, init: init! }).get(name)!).std;
    expect(stdOf({ scheme: "normal", std: 0.1 }, "embed")).toBeCloseTo(0.1, 2);
    expect(stdOf({ scheme: "scaled", embeddingStd: 0.3 }, "embed")).toBeCloseTo(0.3, 1);
    expect(stdOf({ scheme: "scaled", gain: 2 }, "layers.0.q")).toBeCloseTo(2 / Math.sqrt(96), 2);
  });

  it("is a function of the seed: same seed same weights, another seed other weights", () => {
    expect(initializeParameters(tiny, { seed: 7 })).toEqual(initializeParameters(tiny, { seed: 7 }));
    const [a, b] = [7, 8].map((seed) => initializeParameters(tiny, { seed }).get("embed")!);
    expect(a!.some((value, i) => value === b![i])).toBe(false);
  });

  it("draws each tensor from a stream of its own, so that other sizes elsewhere change nothing", () => {
    const deeper = initializeParameters({ ...untied, numLayers: 5, vocabSize: 300 }, { seed: 7 });
    const shallow = initializeParameters(untied, { seed: 7 });
    expect(deeper.get("layers.1.q")).toEqual(shallow.get("layers.1.q"));
    expect(deeper.get("embed")!.slice(0, 121 * 96)).toEqual(shallow.get("embed"));
    const [first, second] = [shallow.get("layers.0.q")!, shallow.get("layers.1.q")!];
    expect(first.some((value, i) => value === second[i])).toBe(false);
  });
});

describe("parameterKind", () => {
  it("knows every parameter of the family, biases included", () => {
    const specs = parameterSpecs({ ...untied, attentionBias: true });
    expect(new Set(specs.map(({ name }) => parameterKind(name)))).toEqual(
      new Set(["embedding", "attention", "mlp", "norm", "bias", "head"]),
    );
    expect(specs.filter(({ name }) => writesToResidual(name))).toHaveLength(2 * untied.numLayers);
    expect(() => parameterKind("layers.0.mystery")).toThrow(/mystery/);
  });
});

describe("modelSize", () => {
  it("counts the parameters of the peers' benchmark model as PyTorch does", () => {
    const size = modelSize(presetConfig("bench", { vocabSize: 99, eosTokenId: 2, padTokenId: 0 }));
    expect(size.parameterCount).toBe(4_748_032);
    expect(Object.values(size.parametersByKind).reduce((sum, count) => sum + count, 0)).toBe(4_748_032);
    expect(size.memory.weightsBytes).toBe(4 * 4_748_032);
    expect(size.memory.trainBytes).toBe(16 * 4_748_032);
    expect(size.memory.kvCacheBytesPerToken).toBe(2 * 6 * 2 * 64 * 4);
    expect(size.memory.sampleBytes).toBe(4 * 4_748_032 + 2048 * 6144);
  });

  it("counts an untied head once more than a tied one", () => {
    const difference = modelSize(untied).parameterCount - modelSize(tiny).parameterCount;
    expect(difference).toBe(elementCount([121, 96]));
  });
});

describe("presetConfig", () => {
  it("takes vocabulary and special tokens from the tokenizer", () => {
    expect(tiny).toMatchObject({ vocabSize: 121, eosTokenIds: [1], padTokenId: 0, hiddenSize: 96 });
    expect(presetConfig("tiny", { vocabSize: 5, eosTokenId: null, padTokenId: null }).eosTokenIds).toEqual([]);
    expect(modelSize(tiny).parameterCount).toBe(261_264);
  });

  it("names the nearest preset where there is none of the name", () => {
    expect(() => presetConfig("tinny", tiny as never)).toThrow(ConfigError);
    expect(() => presetConfig("tinny", tiny as never)).toThrow(`Did you mean "tiny"?`);
    expect(() => presetConfig("toString", tiny as never)).toThrow(Object.keys(MODEL_PRESETS).join(", "));
  });
});
