/** `engine.dtype` on its way from a spec to a model, and where it is refused. */

import { describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { computingOn } from "../../src/compute/computing.ts";
import type { Device } from "../../src/compute/device.ts";
import { requireDType } from "../../src/compute/device-dtype.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { openEngine, openRewardModel, openSharedBase } from "../../src/engine/open.ts";
import { AhaError, ConfigError, EngineError } from "../../src/errors.ts";
import { ONNX_RUNTIME_CPU, ONNX_RUNTIME_CUDA, ONNX_RUNTIME_WEBGPU } from "../../src/graph/target.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { deviceWith } from "../compute/device-with.ts";
import { MODELS, writeModel } from "./models.ts";

const config = MODELS["tied, query and key norms"];
const compute = Compute.open({ threads: 2 });
const LORA = { rank: 2, alpha: 4, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const row = { promptTokens: Int32Array.of(3), completionTokens: Int32Array.of(4, 5, 6, 7) };

describe("an engine in bfloat16", () => {
  it("opens policies, adapters, policies over a base and reward models that compute so", async () => {
    const path = await writeModel(config);
    const logprobs = async (spec: Record<string, unknown>, source = {}) => {
      const engine = await openEngine({ kind: "local", ...spec }, { path, ...source }, compute);
      const { logprobs: found } = await engine.score([row], { temperature: 1 });
      const { name } = engine.info;
      await engine.dispose();
      return { name, found: [...found[0]!] };
    };
    const full = await logprobs({});
    const half = await logprobs({ dtype: "bfloat16" });
    expect(half.name).toBe(full.name.replace(")", ", bfloat16)"));
    expect(half.found).not.toEqual(full.found);
    for (const [t, value] of half.found.entries()) expect(Math.abs(value - full.found[t]!)).toBeLessThan(0.05);
    // A new adapter changes nothing, and its frozen base is rounded from the same numbers.
    expect((await logprobs({ dtype: "bfloat16" }, { lora: LORA })).found).toEqual(half.found);

    const base = await openSharedBase({ kind: "local", dtype: "bfloat16" }, { path }, compute);
    const over = await base.open({});
    expect([...(await over.score([row], { temperature: 1 })).logprobs[0]!]).toEqual(half.found);
    await over.dispose();
    base.dispose();
  });

  it("is asked for by name where a device samples in 16 bits alone, as CUDA does; scoring and training take float32", async () => {
    const path = await writeModel(config);
    const target = { ...ONNX_RUNTIME_CPU, attendsInHalfAlone: true };
    const own = await compute.device();
    const device = deviceWith(own, { target });
    const computing = computingOn(device, diskFolder);
    const asked = /cannot sample in float32.*Set engine\.dtype: bfloat16 \(--dtype bfloat16\)/;
    await expect(openEngine({ kind: "local" }, { path }, computing)).rejects.toThrow(asked);
    await expect(openSharedBase({ kind: "local" }, { path }, computing)).rejects.toThrow(asked);

    const prompt = { tokens: Int32Array.of(3, 4), numSamples: 1, promptId: 0 };
    const sampling = {
      temperature: 1,
      topP: 1,
      topK: 0,
      stopTokenIds: [],
      seed: 1,
      iteration: 0,
      maxCompletionTokens: 2,
    };
    const scoring = await openEngine({ kind: "local" }, { path, samples: false }, computing);
    const plain = await openEngine({ kind: "local" }, { path }, compute);
    expect(await scoring.score([row], { temperature: 1 })).toEqual(await plain.score([row], { temperature: 1 }));
    await expect(scoring.sample([prompt], sampling)).rejects.toThrow(asked);
    for (const one of [scoring, plain]) await one.dispose();

    const half = await openEngine({ kind: "local", dtype: "bfloat16" }, { path }, computing);
    expect((await half.sample([prompt], sampling))[0]!.tokens).toHaveLength(2);
    await half.dispose();
    await (await openRewardModel({ kind: "local" }, { path }, computing)).dispose();
  });

  it("trains reward models", async () => {
    const path = await writeModel({ ...config, padTokenId: 0 });
    const pairs = [{ chosen: Int32Array.of(3, 4, 5), rejected: Int32Array.of(3, 6), weight: 1 }];
    const adam = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
    const trained = async (dtype: string) => {
      const model = await openRewardModel({ kind: "local", dtype }, { path }, compute);
      for (let step = 0; step < 12; step++) await model.step(pairs, { centering: 0 }, adam);
      const rewards = await model.score([pairs[0]!.chosen, pairs[0]!.rejected]);
      await model.dispose();
      return rewards[0]! - rewards[1]!;
    };
    const expected = await trained("float32");
    expect(expected).toBeGreaterThan(0.1);
    for (const dtype of ["bfloat16", "float16"]) {
      expect(Math.abs((await trained(dtype)) / expected - 1), dtype).toBeLessThan(0.1);
    }
  });

  it("is refused by name where there is no such dtype", async () => {
    const path = await writeModel(config);
    await expect(openEngine({ kind: "local", dtype: "float8" }, { path }, compute)).rejects.toThrow(ConfigError);
    const webgpu = { name: "webgpu", target: ONNX_RUNTIME_WEBGPU } as Device;
    await expect(requireDType(webgpu, "bfloat16")).rejects.toThrow(EngineError);
    await expect(requireDType(webgpu, "bfloat16")).rejects.toThrow(/webgpu does not compute in bfloat16.*float16/);
    await requireDType({ name: "cuda", target: ONNX_RUNTIME_CUDA } as Device, "bfloat16");
    const without = { ...webgpu, requireHalf: () => Promise.reject(new AhaError("no shader-f16")) };
    await expect(requireDType(without, "float16")).rejects.toThrow("no shader-f16");
  });
});
