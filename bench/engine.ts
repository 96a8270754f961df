/** The engine that a bench's options ask for. */

import { Compute } from "../src/compute/compute.ts";
import type { Policy } from "../src/engine/contract/policy.ts";
import { openEngine as open } from "../src/engine/open.ts";
import { AhaError } from "../src/errors.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../src/model/lora.ts";
import { QUANTIZATIONS, type Quantization } from "../src/model/quantization.ts";
import type { BenchOptions } from "./options.ts";

/** Opens it. `microBatchTokens`: where the bench, not its user, decides. */
export function openEngine(options: BenchOptions, microBatchTokens = options["micro-batch"]): Promise<Policy> {
  const { model, threads, lora, quantization, chunk } = options;
  const spec = {
    kind: "local",
    gradientCheckpointing: options["gradient-checkpointing"],
    ...(microBatchTokens > 0 && { microBatchTokens }),
    ...(chunk > 0 && { logitChunkTokens: chunk }),
  };
  const source = {
    path: model,
    lora: lora > 0 ? adapterOf(lora) : undefined,
    quantization: quantizationOf(quantization),
  };
  return open(spec, source, Compute.open({ threads }));
}

/** As `peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")`. */
function adapterOf(rank: number): LoraConfig {
  return { rank, alpha: 2 * rank, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
}

function quantizationOf(name: string): Quantization | undefined {
  if (name === "") return undefined;
  const found = QUANTIZATIONS.find((known) => known === name);
  if (!found) throw new AhaError(`--quantization takes ${QUANTIZATIONS.join(", ")}, not ${name}`);
  return found;
}
