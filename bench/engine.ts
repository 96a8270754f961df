/** The engine that a bench's options ask for. */

import { Compute } from "../src/compute/compute.ts";
import type { Policy } from "../src/engine/contract/policy.ts";
import { openEngine as open } from "../src/engine/open.ts";
import { AhaError } from "../src/errors.ts";
import { FLOAT_DTYPES, type FloatDType } from "../src/graph/tensor-type.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../src/model/lora.ts";
import { QUANTIZATIONS, type Quantization } from "../src/model/quantization.ts";
import type { BenchOptions } from "./options.ts";
import { openRandomModel } from "./random-model.ts";

/** Opens it. `microBatchTokens`: where the bench, not its user, decides. */
export async function openEngine(options: BenchOptions, microBatchTokens = options["micro-batch"]): Promise<Policy> {
  const { model, random, threads, lora, quantization, chunk, device } = options;
  const limits = {
    gradientCheckpointing: options["gradient-checkpointing"],
    ...(microBatchTokens > 0 && { microBatchTokens }),
    ...(chunk > 0 && { logitChunkTokens: chunk }),
  };
  const dtype = dtypeOf(options.dtype);
  const compute = Compute.open({ threads, device });
  if (random !== "") {
    if (lora > 0) throw new AhaError("--random makes whole models: leave out --lora");
    const form = { quantization: quantizationOf(quantization), dtype };
    // The cache of a bench's sequences, whatever it takes.
    return openRandomModel(await compute.device(dtype), random, form, { ...limits, cacheBytes: 2 ** 36 });
  }
  const spec = { kind: "local", ...limits, dtype };
  const source = {
    path: model,
    lora: lora > 0 ? adapterOf(lora) : undefined,
    quantization: quantizationOf(quantization),
  };
  return open(spec, source, compute);
}

/** As `peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")`. */
function adapterOf(rank: number): LoraConfig {
  return { rank, alpha: 2 * rank, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
}

function dtypeOf(name: string): FloatDType {
  const found = FLOAT_DTYPES.find((known) => known === name);
  if (!found) throw new AhaError(`--dtype takes ${FLOAT_DTYPES.join(", ")}, not ${name}`);
  return found;
}

function quantizationOf(name: string): Quantization | undefined {
  if (name === "") return undefined;
  const found = QUANTIZATIONS.find((known) => known === name);
  if (!found) throw new AhaError(`--quantization takes ${QUANTIZATIONS.join(", ")}, not ${name}`);
  return found;
}
