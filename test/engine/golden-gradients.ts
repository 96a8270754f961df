/** PyTorch's optimizer steps on the committed Qwen3 checkpoints (`test/golden/make_gradient_golden.py`), for every device. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { Device } from "../../src/compute/device.ts";
import type { AdamParams, Datum } from "../../src/engine/contract/policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { LoadedModel } from "../../src/model/checkpoint.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { loadModel } from "../../src/model/on-disk.ts";
import { type ParameterValues, parameterSpecs } from "../../src/model/parameters.ts";
import { emptyDirectory, openEngine } from "./models.ts";

/** Of each tensor of a checkpoint its norm, and some elements by flat index. */
type Summary = Readonly<Record<string, { norm: number; indices: number[]; values: number[] }>>;

export interface GoldenCase {
  readonly model: string;
  readonly loss: LossSpec;
  readonly data: readonly {
    prompt: number[];
    completion: number[];
    weights: number[];
    advantages: number[];
    samplerLogprobs: number[];
    refLogprobs: number[];
  }[];
  readonly steps: readonly { loss: number; gradNorm: number; weights: Summary; gradients?: Summary }[];
}

interface Golden {
  readonly versions: { readonly torch: string; readonly transformers: string };
  readonly tolerance: { loss: number; gradNormRelative: number; gradientOfNorm: number; weights: number };
  readonly adam: AdamParams;
  readonly cases: readonly GoldenCase[];
}

const folder = new URL("../golden/", import.meta.url);
export const golden: Golden = JSON.parse(await readFile(new URL("gradients.json", folder), "utf8"));
/** Cases by what they are. */
export const titledCases = golden.cases.map((one) => [`${one.model}, ${JSON.stringify(one.loss)}`, one] as const);

/** Small enough that a step takes several micro-batches. */
export const LIMITS = { microBatchTokens: 48 };

export function readCase({ model }: GoldenCase): Promise<LoadedModel> {
  return loadModel(fileURLToPath(new URL(`models/${model}`, folder)));
}

export function dataOf({ data }: GoldenCase): Datum[] {
  return data.map((row) => ({
    promptTokens: Int32Array.from(row.prompt),
    completionTokens: Int32Array.from(row.completion),
    weights: Float32Array.from(row.weights),
    advantages: Float32Array.from(row.advantages),
    samplerLogprobs: Float32Array.from(row.samplerLogprobs),
    refLogprobs: Float32Array.from(row.refLogprobs),
  }));
}

/** Parameters by the names of the checkpoint. */
export function checkpointTensors(config: ModelConfig, values: ParameterValues): Map<string, Float32Array> {
  return new Map(parameterSpecs(config).map(({ name, checkpointName }) => [checkpointName, values.get(name)!]));
}

/** Loss, norm, and weights after each of PyTorch's steps, on this device or the CPU. */
export async function expectGoldenSteps(one: GoldenCase, device?: Device): Promise<void> {
  const { tolerance } = golden;
  const { config, values } = await readCase(one);
  const engine = await openEngine(config, values, LIMITS, {}, undefined, ...(device ? [device] : []));
  try {
    for (const [number, step] of one.steps.entries()) {
      const result = await engine.forwardBackward(dataOf(one), one.loss);
      expect(Math.abs(result.loss - step.loss), `loss of step ${number}`).toBeLessThan(tolerance.loss);
      const { gradNorm } = await engine.optimStep(golden.adam);
      expect(Math.abs(gradNorm! / step.gradNorm - 1), `norm of step ${number}`).toBeLessThan(
        tolerance.gradNormRelative,
      );
      const directory = await emptyDirectory();
      await engine.saveWeights(directory);
      const tensors = checkpointTensors(config, (await loadModel(directory)).values);
      for (const [name, { indices, values: expected }] of Object.entries(step.weights)) {
        indices.forEach((index, i) => {
          const gap = Math.abs(tensors.get(name)![index]! - expected[i]!);
          expect(gap, `${name}[${index}] after step ${number}`).toBeLessThan(tolerance.weights);
        });
      }
    }
  } finally {
    await engine.dispose();
  }
}
