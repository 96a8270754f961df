/** Trunks in 16 bits, as the CPU emulates them. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { ADAM, differences, someData, trained } from "../webgpu/compared.ts";
import { emptyDirectory, MODELS, modelValues, openEngine } from "./models.ts";

type Half = "bfloat16" | "float16";

interface Golden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly cases: readonly {
    readonly model: string;
    readonly dtype: Half;
    readonly sequences: readonly { tokens: number[]; transformers: number[]; float32: number[]; trunk: number[] }[];
  }[];
}

const folder = new URL("../golden/", import.meta.url);
const golden: Golden = JSON.parse(await readFile(new URL("half.json", folder), "utf8"));

/** Half of the distance between 1 and the next number: the largest relative error of one rounding. */
const ROUNDING = { bfloat16: 2 ** -9, float16: 2 ** -12 } as const;
const config = MODELS["tied, query and key norms"];
const data = someData(config.vocabSize);
const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.04, temperature: 1 } as LossSpec;
const LORA = { rank: 3, alpha: 6, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };

const BIASED = MODELS["scaled RoPE, biases everywhere, heads of 10"];

const open = (form: WeightForm, limits: GivenLimits = {}, model: ModelConfig = config): Promise<LocalPolicy> =>
  openEngine(model, modelValues(model), limits, form);

const gaps = (a: readonly number[], b: readonly number[]) => a.map((value, i) => Math.abs(value - b[i]!));
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

describe(`log-probabilities, beside PyTorch ${golden.versions.torch}`, () => {
  it.each(golden.cases.map((one) => [one.model, one.dtype, one.sequences] as const))(
    "of %s in %s are those of the same roundings, and near to transformers' own",
    async (model, dtype, sequences) => {
      const own = await loadModel(fileURLToPath(new URL(`models/${model}`, folder)));
      const engine = await openEngine(own.config, own.values, {}, { dtype });
      const asked = sequences.map(({ tokens }) => ({
        promptTokens: Int32Array.from(tokens.slice(0, 1)),
        completionTokens: Int32Array.from(tokens.slice(1)),
      }));
      const { logprobs } = await engine.score(asked, { temperature: 1 });
      await engine.dispose();
      const found = logprobs.flatMap((one) => [...one]);
      const of = (name: "transformers" | "float32" | "trunk") => sequences.flatMap((one) => one[name]);
      // Equal up to float32's rounding; but where a sum lies at the border of two numbers of 16 bits, its last bit in float32
      // decides, and what follows differs by roundings. Float16's numbers are denser, so there it happens.
      const same = gaps(found, of("trunk")).sort((a, b) => a - b);
      expect(same[same.length >> 2]!).toBeLessThan(1e-5);
      expect(same.at(-1)!).toBeLessThan(dtype === "bfloat16" ? 1e-5 : 8 * ROUNDING[dtype]);
      // What rounds elsewhere is as far away as float32 is.
      const apart = Math.max(...gaps(of("transformers"), of("float32")));
      expect(Math.max(...gaps(found, of("transformers")))).toBeLessThan(2 * apart);
      // It did round.
      expect(Math.max(...gaps(found, of("float32")))).toBeGreaterThan(ROUNDING[dtype] / 4);
    },
  );
});

describe.each(["bfloat16", "float16"] as const)("training in %s", (dtype) => {
  const forms: readonly { readonly name: string; readonly form: WeightForm; readonly model: ModelConfig }[] = [
    { name: "the whole model", form: {}, model: config },
    { name: "a model with biases", form: {}, model: BIASED },
    { name: "an adapter", form: { lora: LORA }, model: config },
    { name: "an adapter over packed weights", form: { lora: LORA, quantization: "nf4" }, model: config },
  ];

  it.each(forms)("$name takes float32's steps up to rounding, also with less memory", async ({ form, model }) => {
    const stepsOf = async (one: WeightForm, limits: GivenLimits = {}) => {
      const engine = await open(one, limits, model);
      try {
        return await trained(engine, data, GRPO);
      } finally {
        await engine.dispose();
      }
    };
    const found = await stepsOf({ ...form, dtype });
    const apart = differences(found, await stepsOf(form));
    expect(apart.norm).toBeLessThan(20 * ROUNDING[dtype]);
    // AdamW's first steps go by the signs of gradients, those that are rounding errors too.
    expect(apart.logprobs).toBeLessThan(0.15);
    expect(apart.logprobs).toBeGreaterThan(ROUNDING[dtype] / 4);
    if (dtype === "float16") return;
    const saving = { gradientCheckpointing: true, logitChunkTokens: 4, microBatchTokens: 24 };
    // Sums over a batch are rounded for each micro-batch.
    const cut = differences(await stepsOf({ ...form, dtype }, saving), found);
    expect(cut.norm).toBeLessThan(20 * ROUNDING[dtype]);
    expect(cut.logprobs).toBeLessThan(0.15);
  });

  it("computes the gradient of every parameter, which is float32's up to rounding", async () => {
    const gradientOf = async (form: WeightForm) => {
      const values = modelValues(config);
      const before = new Map([...values].map(([name, own]) => [name, own.slice()]));
      const engine = await openEngine(config, values, {}, form);
      await engine.forwardBackward(data, CROSS_ENTROPY);
      // AdamW as gradient descent at rate 1.
      const descent = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };
      expect((await engine.optimStep(descent)).applied).toBe(true);
      const moved = [...values].map(([name, own]) => [name, own.map((w, i) => before.get(name)![i]! - w)] as const);
      await engine.dispose();
      return new Map(moved);
    };
    const [found, expected] = [await gradientOf({ dtype }), await gradientOf({})];
    for (const [name, own] of expected) {
      const error = Math.hypot(...own.map((g, i) => g - found.get(name)![i]!)) / Math.hypot(...own);
      expect(error, name).toBeLessThan(20 * ROUNDING[dtype]);
    }
  });

  it("and sampling agree on log-probabilities: both run the same trunk", async () => {
    for (const { form, model } of forms) {
      const engine = await open({ ...form, dtype }, {}, model);
      const prompts = [0, 1].map((promptId) => ({
        tokens: Int32Array.of(3, 4, 5 + promptId),
        numSamples: 4,
        promptId,
      }));
      const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [1], seed: 1, iteration: 0 };
      const samples = await engine.sample(prompts, { ...sampling, maxCompletionTokens: 16 });
      const scored = await engine.score(
        samples.map(({ tokens }, i) => ({ promptTokens: prompts[i >> 2]!.tokens, completionTokens: tokens })),
        { temperature: 1 },
      );
      await engine.dispose();
      const apart = samples.flatMap(({ logprobs }, i) => gaps([...logprobs], [...scored.logprobs[i]!]));
      // Equal but for sums at the border of two numbers.
      expect(median(apart)).toBeLessThan(1e-4);
      expect(Math.max(...apart)).toBeLessThan(6 * ROUNDING[dtype]);
    }
  });

  it("goes on from a saved state with the same bytes", async () => {
    const step = (engine: LocalPolicy) => engine.step(data, GRPO, ADAM);
    const whole = await open({ dtype });
    const first = await open({ dtype });
    for (const engine of [whole, first]) await step(engine);
    await first.freezeReference();
    const directory = await emptyDirectory();
    await first.saveState(directory);
    await first.dispose();
    const second = await openEngine(config, modelValues(config, 2), {}, { dtype });
    await second.loadState(directory);
    expect(await step(second)).toEqual(await step(whole));
    expect(await second.score(data, { temperature: 1 })).toEqual(await whole.score(data, { temperature: 1 }));
    await Promise.all([whole.dispose(), second.dispose()]);
  });
});

describe("the scale of the loss in float16", () => {
  const large = data.map((one) => ({ ...one, weights: one.weights.map(() => 4) }));

  it("is halved until gradients are finite, and the state has it", async () => {
    const engine = await open({ dtype: "float16" });
    const scales: number[] = [];
    for (let applied = false; !applied && scales.length < 20; ) {
      const result = await engine.step(large, CROSS_ENTROPY, ADAM);
      expect(Number.isFinite(result.loss)).toBe(true);
      scales.push(result.lossScale!);
      ({ applied } = result);
      expect(Number.isFinite(result.gradNorm)).toBe(applied);
    }
    expect(scales.length).toBeGreaterThan(1);
    expect(scales).toEqual(scales.map((_, i) => 2 ** (16 - i)));
    const directory = await emptyDirectory();
    await engine.saveState(directory);
    const resumed = await open({ dtype: "float16" });
    await resumed.loadState(directory);
    const [expected, found] = [
      await engine.step(large, CROSS_ENTROPY, ADAM),
      await resumed.step(large, CROSS_ENTROPY, ADAM),
    ];
    expect(found).toEqual(expected);
    expect(found.lossScale).toBe(scales.at(-1));
    await Promise.all([engine.dispose(), resumed.dispose()]);
  });

  it("keeps gradients that float16 alone would lose", async () => {
    const small = data.map((one) => ({ ...one, weights: one.weights.map(() => 1e-6) }));
    const normOf = async (form: WeightForm) => {
      const engine = await open(form);
      const { gradNorm } = await engine.step(small, CROSS_ENTROPY, ADAM);
      await engine.dispose();
      return gradNorm!;
    };
    expect(Math.abs((await normOf({ dtype: "float16" })) / (await normOf({})) - 1)).toBeLessThan(0.01);
  });

  it("is not there in other dtypes", async () => {
    const engine = await open({ dtype: "bfloat16" });
    expect(await engine.step(data, CROSS_ENTROPY, ADAM)).not.toHaveProperty("lossScale");
    await engine.dispose();
  });
});
