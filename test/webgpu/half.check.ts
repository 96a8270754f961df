/**
 * Trunks in 16 bits on a device beside the CPU's emulation, and its sampler beside its trainer. What the device does not compute in
 * is skipped, with its reason in the name. `AHA_CHECKED_DEVICE`: `webgpu` (absent), `cuda`, or `cpu` for the emulation itself.
 * `AHA_WEBGPU_TABLE=FILE` appends what was measured as lines of JSON.
 *
 * A device's kernels may round where the emulation does not, so numbers are compared with what rounding does at all: how far
 * the emulation is from float32.
 */

import { describe, expect, it } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device } from "../../src/compute/device.ts";
import { requireDType } from "../../src/compute/device-dtype.ts";
import type { LocalPolicy } from "../../src/engine/local/local-policy.ts";
import { AhaError } from "../../src/errors.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { MODELS, openEngine } from "../engine/models.ts";
import { differences, record, someData, trained } from "./compared.ts";

const cpu = CpuDevice.open(2);
const device: Device = process.env.AHA_CHECKED_DEVICE === "cpu" ? cpu : (await import("./device.ts")).gpu;

/** Half of the distance between 1 and the next number: the largest relative error of one rounding. */
const ROUNDING = { bfloat16: 2 ** -9, float16: 2 ** -12 } as const;
// Heads of 16 are a width that every kernel of attention takes.
const config = { ...MODELS["tied, query and key norms"], headDim: 16, maxContextTokens: 80 };
/** Weights are so small that no gradient in float16 overflows under the first scale of the loss: such a step would be skipped. */
const data = someData(config.vocabSize, 12).map((row) => ({ ...row, weights: row.weights.map((w) => w / 32) }));
const LORA = { rank: 3, alpha: 6, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const FORMS: readonly (readonly [string, WeightForm])[] = [
  ["the whole model", {}],
  ["packed weights and an adapter", { lora: LORA, quantization: "nf4" }],
];

async function on<T>(where: Device, form: WeightForm, use: (engine: LocalPolicy) => Promise<T>): Promise<T> {
  const engine = await openEngine(config, undefined, { gradientCheckpointing: true }, form, undefined, where);
  try {
    return await use(engine);
  } finally {
    await engine.dispose();
  }
}

const scores = async (engine: LocalPolicy): Promise<number[]> => {
  const { logprobs } = await engine.score(data, { temperature: 1 });
  return logprobs.flatMap((row) => [...row]);
};
const gaps = (a: readonly number[], b: readonly number[]) => a.map((value, i) => Math.abs(value - b[i]!));
const most = (values: readonly number[]) => Math.max(...values);
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

for (const dtype of ["bfloat16", "float16"] as const) {
  const refusal = await requireDType(device, dtype).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof AhaError) return error.message;
      throw error;
    },
  );
  const title = `${dtype} on ${device.name}${refusal ? `, skipped: ${refusal}` : ""}`;

  describe.skipIf(refusal !== undefined).each(FORMS)(`${title}, %s`, (name, form) => {
    const half = { ...form, dtype };

    it("has the log-probabilities and takes the steps of the CPU's emulation, up to rounding", async () => {
      const use = async (engine: LocalPolicy) => ({
        logprobs: await scores(engine),
        after: await trained(engine, data, { name: "cross_entropy" }),
      });
      const float32 = await on(cpu, form, scores);
      const emulated = await on(cpu, half, use);
      const found = await on(device, half, use);
      const rounding = most(gaps(emulated.logprobs, float32));
      const apart = gaps(found.logprobs, emulated.logprobs);
      const steps = differences(found.after, emulated.after);
      record(`${dtype}, ${name}`, { rounding, median: median(apart), most: most(apart), ...steps });
      expect(most(apart)).toBeLessThan(2 * rounding);
      // It did round.
      expect(most(gaps(found.logprobs, float32))).toBeGreaterThan(ROUNDING[dtype] / 4);
      expect(steps.loss).toBeLessThan(20 * ROUNDING[dtype]);
      expect(steps.norm).toBeLessThan(20 * ROUNDING[dtype]);
      // AdamW's first steps go by the signs of gradients, those that are rounding errors too.
      expect(steps.logprobs).toBeLessThan(0.15);
    });

    it("samples with the log-probabilities that it trains with, up to rounding, behind prompts of any length", async () => {
      const prompts = [3, 31, 32, 45].map((length, promptId) => ({
        tokens: Int32Array.from({ length }, (_, t) => (5 * t + 2 * promptId) % config.vocabSize),
        numSamples: 4,
        promptId,
      }));
      const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [1], seed: 1, iteration: 0 };
      const sampled = await on(device, half, async (engine) => {
        const samples = await engine.sample(prompts, { ...sampling, maxCompletionTokens: 16 });
        const rows = samples.map(({ promptIndex, tokens }) => ({
          promptTokens: prompts[promptIndex]!.tokens,
          completionTokens: tokens,
        }));
        return { samples, rows, scored: (await engine.score(rows, { temperature: 1 })).logprobs };
      });
      const float32 = await on(
        cpu,
        form,
        async (engine) => (await engine.score(sampled.rows, { temperature: 1 })).logprobs,
      );
      const flat = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]);
      const apart = gaps(flat(sampled.samples.map(({ logprobs }) => logprobs)), flat(sampled.scored));
      const rounding = most(gaps(flat(sampled.scored), flat(float32)));
      record(`${dtype}, ${name}, sampler and trainer`, { rounding, median: median(apart), most: most(apart) });
      expect(most(apart)).toBeLessThan(2 * rounding);
      expect(median(apart)).toBeLessThan(2 * ROUNDING[dtype]);
    });
  });
}
