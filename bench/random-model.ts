/** Models of a given shape with random weights, made in memory: for speed alone, where no checkpoint is at hand. */

import { readFileSync } from "node:fs";
import type { Device } from "../src/compute/device.ts";
import { requireDType } from "../src/compute/device-dtype.ts";
import { diskFolder } from "../src/disk-folder.ts";
import { folderStore } from "../src/engine/local/folder-store.ts";
import { type GivenLimits, limitsFrom } from "../src/engine/local/limits.ts";
import { LocalPolicy } from "../src/engine/local/local-policy.ts";
import { ModelWeights } from "../src/engine/local/weights.ts";
import { toHalf } from "../src/float-formats.ts";
import type { WeightForm } from "../src/model/decoder-parameters.ts";
import { parseModelConfig } from "../src/model/hf-config.ts";
import { quantizeNf4 } from "../src/model/quantization.ts";
import { Random } from "../src/random.ts";

/** Numbers that weights repeat: drawing billions would take longer than what is measured. */
const DRAWN = 2 ** 20;

/** A policy of the model that a config.json describes. */
export async function openRandomModel(
  device: Device,
  configPath: string,
  form: WeightForm,
  limits: GivenLimits,
): Promise<LocalPolicy> {
  await requireDType(device, form.dtype ?? "float32", { samples: false });
  const config = parseModelConfig(readFileSync(configPath, "utf8"), configPath);
  const random = new Random(0, "bench/random-model");
  const drawn = Float32Array.from({ length: DRAWN }, () => 0.02 * random.normal());
  const write = (name: string, target: Float32Array) => {
    if (name.endsWith("Norm")) target.fill(1);
    else
      for (let first = 0; first < target.length; first += DRAWN) {
        target.set(drawn.subarray(0, Math.min(DRAWN, target.length - first)), first);
      }
    return target;
  };
  const model = await ModelWeights.from(device, config, form, {
    float32: ({ name }, target) => void write(name, target),
    half: ({ name }, target, dtype) => toHalf(dtype)(write(name, new Float32Array(target.length)), target),
    nf4: ({ name, shape }, target) => quantizeNf4(write(name, new Float32Array(shape[0]! * shape[1]!)), target),
  });
  const local = { config, form, weights: { model }, base: configPath, store: folderStore(diskFolder), dropoutSeed: 0 };
  return LocalPolicy.open(device, local, limitsFrom(limits));
}
