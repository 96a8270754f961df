/** What an adapter and packed weights promise beyond the engine's contract, which `adapter-conformance.test.ts` checks. */

import { afterAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import type { AdamParams, Datum, Policy } from "../../src/engine/contract/policy.ts";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import { openEngine as openModel } from "../../src/engine/open.ts";
import { EngineError } from "../../src/errors.ts";
import { fromBfloat16, toBfloat16 } from "../../src/float-formats.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS, adaptedParameters, initializeAdapter, type LoraConfig } from "../../src/model/lora.ts";
import { parameterSpecs } from "../../src/model/parameters.ts";
import { nf4Lengths, quantizeNf4, storageOf } from "../../src/model/quantization.ts";
import { Random } from "../../src/random.ts";
import { dequantizeNf4 } from "../model/dequantize-nf4.ts";
import { adapterValues, emptyDirectory, MODELS, modelValues, openEngine, writeModel } from "./models.ts";

const CONFIG = MODELS["untied, biases, no norms, heads of 16"];
const LORA: LoraConfig = { rank: 3, alpha: 5, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const DROPPING = { lora: { ...LORA, dropout: 0.25 } };
const CROSS_ENTROPY = { name: "cross_entropy" } as const;
const ADAM: AdamParams = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

const opened: Policy[] = [];
afterAll(() => Promise.all(opened.map((engine) => engine.dispose())));

async function open(form: WeightForm, limits: GivenLimits = {}, adapter?: ReturnType<typeof adapterValues>) {
  const engine = await openEngine(CONFIG, undefined, limits, form, adapter);
  opened.push(engine);
  return engine;
}

/** Pairs of completions on ragged prompts. */
function someData(): Datum[] {
  const random = new Random(3, "adapter data");
  const tokens = (length: number) => Int32Array.from({ length }, () => random.integer(CONFIG.vocabSize));
  return [1, 5, 8].flatMap((length) => {
    const promptTokens = tokens(length);
    return [4, 7].map((completion) => ({
      promptTokens,
      completionTokens: tokens(completion),
      weights: new Float32Array(completion).fill(0.05),
    }));
  });
}

const DATA = someData();

const score = async (engine: Policy, policy: "policy" | "reference" = "policy") =>
  (await engine.score(DATA, { temperature: 1, policy })).logprobs.flatMap((row) => [...row]);

const difference = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

/** Loss and log-probabilities of a training pass, and the norm of its gradient; the step is taken. */
async function pass(engine: Policy, data: readonly Datum[] = DATA) {
  const { loss, logprobs } = await engine.forwardBackward(data, CROSS_ENTROPY);
  const { gradNorm } = await engine.optimStep(ADAM);
  return { loss, logprobs, gradNorm };
}

describe("an adapter beside its matrix", () => {
  /** Some matrices, of ranks and scales of their own. */
  const MODULES = {
    "layers.0.q": { rank: 2, alpha: 5 },
    "layers.0.mlpDown": { rank: 3, alpha: 9 },
    "layers.1.v": { rank: 1, alpha: 0.5 },
  };

  it.each([
    [false, undefined],
    [true, undefined],
    [true, MODULES],
  ])("computes what W + s·B·A computes (rsLoRA: %s; %j)", async (rsLora, modules) => {
    const lora = { ...LORA, rsLora, ...(modules && { modules }) };
    const adapter = adapterValues(CONFIG, lora);
    const merged = modelValues(CONFIG);
    for (const { base, a, b, rank, scale } of adaptedParameters(CONFIG, lora)) {
      const [rows, columns] = base.shape as [number, number];
      const weights = merged.get(base.name)!;
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          let sum = 0;
          for (let r = 0; r < rank; r++) {
            sum += adapter.get(b.name)![i * rank + r]! * adapter.get(a.name)![r * columns + j]!;
          }
          weights[i * columns + j]! += scale * sum;
        }
      }
    }
    const whole = await openEngine(CONFIG, merged);
    opened.push(whole);
    expect(difference(await score(await open({ lora }, {}, adapter)), await score(whole))).toBeLessThan(1e-5);
  });

  it("learns the same with a scale of its own as with one of all", async () => {
    const names = adaptedParameters(CONFIG, LORA).map(({ base }) => base.name);
    const own = Object.fromEntries(names.map((name) => [name, { rank: LORA.rank, alpha: 2 * LORA.alpha }]));
    const each = await open({ lora: { ...LORA, modules: own } }, {}, adapterValues(CONFIG, LORA));
    const all = await open({ lora: { ...LORA, alpha: 2 * LORA.alpha } }, {}, adapterValues(CONFIG, LORA));
    for (let step = 0; step < 3; step++) {
      const [a, b] = [await pass(each), await pass(all)];
      expect(Math.abs(a.gradNorm! / b.gradNorm! - 1)).toBeLessThan(1e-5);
    }
    expect(difference(await score(each), await score(all))).toBeLessThan(1e-4);
  });

  it("starts as the model itself, and trains nothing but itself", async () => {
    const fresh = initializeAdapter(CONFIG, LORA, { seed: 1 });
    const engine = await open({ lora: LORA }, {}, adapterValues(CONFIG, LORA));
    expect([...fresh].filter(([name]) => name.endsWith("loraB")).every(([, b]) => b.every((x) => x === 0))).toBe(true);
    const values = modelValues(CONFIG);
    const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    const own = await openEngine(CONFIG, values, {}, { lora: LORA });
    opened.push(own);
    await pass(own);
    for (const [name, weights] of values) expect(weights, name).toEqual(before.get(name));
    expect(await score(engine)).not.toEqual(await score(own));
  });

  it("A is uniform in ±1/√in", () => {
    const wide: LoraConfig = { ...LORA, rank: 64 };
    for (const { a } of adaptedParameters(CONFIG, wide)) {
      const values = initializeAdapter(CONFIG, wide, { seed: 2 }).get(a.name)!;
      const bound = 1 / Math.sqrt(a.shape[1]!);
      const variance = values.reduce((sum, x) => sum + x * x, 0) / values.length;
      expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(bound);
      expect(Math.abs(variance / ((bound * bound) / 3) - 1)).toBeLessThan(0.1);
    }
  });
});

describe("the reference of an adapter", () => {
  it("is the base with the adapter off, where nothing was learnt yet; to the bit, whatever is learnt later", async () => {
    const zero = adapterValues(CONFIG, LORA);
    for (const [name, values] of zero) if (name.endsWith("loraB")) values.fill(0);
    const engine = await open({ lora: LORA }, {}, zero);
    await engine.freezeReference();
    const base = await openEngine(CONFIG);
    opened.push(base);
    await pass(engine);
    expect(await score(engine, "reference")).toEqual(await score(base));
    expect(difference(await score(engine), await score(base))).toBeGreaterThan(1e-3);
    // A state says so without a set of tensors.
    const directory = await emptyDirectory();
    await engine.saveState(directory);
    const restored = await open({ lora: LORA });
    await restored.loadState(directory);
    expect(await score(restored, "reference")).toEqual(await score(base));
    expect(await score(restored)).toEqual(await score(engine));
  });

  it("is the adapter as it was, where it had learnt", async () => {
    const engine = await open({ lora: LORA });
    const before = await score(engine);
    await engine.freezeReference();
    await pass(engine);
    expect(await score(engine, "reference")).toEqual(before);
    expect(await score(engine)).not.toEqual(before);
  });
});

describe("dropout", () => {
  it("applies in training alone", async () => {
    const [dropping, plain] = [await open(DROPPING), await open({ lora: LORA })];
    expect(await score(dropping)).toEqual(await score(plain));
    const [a, b] = [await pass(dropping), await pass(plain)];
    expect(Math.abs(a.loss - b.loss)).toBeGreaterThan(1e-5);
  });

  it("drops the same however data are cut into micro-batches, whole or checkpointed, in one call or in two", async () => {
    const expected = await pass(await open(DROPPING));
    for (const limits of [{ microBatchTokens: 12 }, { gradientCheckpointing: true }]) {
      const found = await pass(await open(DROPPING, limits));
      expect(Math.abs(found.loss / expected.loss - 1)).toBeLessThan(1e-6);
      expect(Math.abs(found.gradNorm! / expected.gradNorm! - 1)).toBeLessThan(1e-5);
    }
    const split = await open(DROPPING);
    const first = await split.forwardBackward(DATA.slice(0, 2), CROSS_ENTROPY);
    const second = await pass(split, DATA.slice(2));
    expect(Math.abs((first.loss + second.loss) / expected.loss - 1)).toBeLessThan(1e-6);
    expect(Math.abs(second.gradNorm! / expected.gradNorm! - 1)).toBeLessThan(1e-5);
  });

  it("drops anew in each step, and after a restored state what would have been dropped", async () => {
    const engine = await open(DROPPING);
    const still = { ...ADAM, learningRate: 0 };
    const losses: number[] = [];
    for (let step = 0; step < 2; step++) {
      losses.push((await engine.forwardBackward(DATA, CROSS_ENTROPY)).loss);
      await engine.optimStep(still);
    }
    expect(losses[0]).not.toBe(losses[1]);
    const directory = await emptyDirectory();
    await engine.saveState(directory);
    const restored = await open(DROPPING);
    await restored.loadState(directory);
    expect(await pass(restored)).toEqual(await pass(engine));
  });
});

describe("gradient checkpointing", () => {
  it.each<[string, WeightForm]>([
    ["all weights", {}],
    ["an adapter", { lora: LORA }],
    ["an adapter on packed weights", { lora: LORA, quantization: "nf4" }],
  ])("changes no bit of what %s learn", async (_, form) => {
    const engines = [await open(form), await open(form, { gradientCheckpointing: true })] as const;
    for (let step = 0; step < 3; step++) {
      const [plain, checkpointed] = [await pass(engines[0]), await pass(engines[1])];
      expect(checkpointed).toEqual(plain);
    }
    expect(await score(engines[1])).toEqual(await score(engines[0]));
  });
});

describe("packed weights", () => {
  it("compute what their numbers, written out, compute", async () => {
    const written = modelValues(CONFIG);
    for (const spec of parameterSpecs(CONFIG)) {
      const values = written.get(spec.name)!;
      const storage = storageOf(spec, { quantization: "nf4" });
      if (storage === "nf4") {
        const { codes, scales } = nf4Lengths(values.length);
        const packed = { codes: new Uint8Array(codes), scales: new Float32Array(scales) };
        quantizeNf4(values, packed);
        dequantizeNf4(packed, values);
      }
      if (storage === "bfloat16") {
        const half = new Uint16Array(values.length);
        toBfloat16(values, half);
        fromBfloat16(half, values);
      }
    }
    const [packed, whole] = [
      await open({ lora: LORA, quantization: "nf4" }),
      await openEngine(CONFIG, written, {}, { lora: LORA }),
    ];
    opened.push(whole);
    expect(difference(await score(packed), await score(whole))).toBeLessThan(2e-6);
    const [a, b] = [await pass(packed), await pass(whole)];
    expect(Math.abs(a.gradNorm! / b.gradNorm! - 1)).toBeLessThan(1e-5);
  });

  it("are packed from a checkpoint as from memory", async () => {
    const directory = await writeModel(CONFIG);
    const lora = { ...LORA, alpha: 7 };
    const engine = await openModel(
      { kind: "local" },
      { path: directory, quantization: "nf4", lora, adapterSeed: 4 },
      Compute.open({ threads: 2 }),
    );
    opened.push(engine);
    const expected = await open({ lora, quantization: "nf4" }, {}, initializeAdapterInMemory(lora, 4));
    expect(await score(engine)).toEqual(await score(expected));
  });

  it("without an adapter sample and score, and are not trained", async () => {
    const engine = await open({ quantization: "nf4" });
    expect(engine.capabilities.losses).toEqual([]);
    expect((await score(engine)).every(Number.isFinite)).toBe(true);
    await expect(engine.forwardBackward(DATA, CROSS_ENTROPY)).rejects.toThrow(EngineError);
    await expect(engine.saveWeights(await emptyDirectory())).rejects.toThrow(/cannot be trained or saved/);
  });
});

/** An adapter's first values in memory that the runtime can read. */
function initializeAdapterInMemory(lora: LoraConfig, seed: number) {
  const values = adapterValues(CONFIG, lora);
  for (const [name, first] of initializeAdapter(CONFIG, lora, { seed })) values.get(name)!.set(first);
  return values;
}
