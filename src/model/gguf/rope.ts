/**
 * How positions are encoded, in llama.cpp's terms.
 *
 * Linear scaling and YaRN are keys, from which llama.cpp computes the frequencies by the same formulas as `../rope.ts`.
 * Llama 3's scaling is not known to it: its `llama` architecture takes a tensor `rope_freqs.weight` instead, f32 [D/2], by
 * which each pair's plain frequency is divided. The qwen architectures do not read that tensor.
 */

import { CheckpointError } from "../../errors.ts";
import type { ModelConfig, RopeScaling } from "../model-config.ts";
import { rotaryFrequencies } from "../rope.ts";
import type { GgufValue } from "./format.ts";

/** The name of the tensor of factors. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** The keys of θ and the scaling. Throws CheckpointError for a scaling that llama.cpp's architecture does not have. */
export function ropeMetadata(config: ModelConfig): Map<string, GgufValue> {
  const { architecture, ropeScaling: scaling } = config;
  const metadata = new Map<string, GgufValue>();
  const key = (name: string, value: GgufValue) => metadata.set(`${architecture}.rope.${name}`, value);
  const real = (name: string, value: number) => key(name, { type: "float32", value });
  real("freq_base", config.ropeTheta);
  switch (scaling?.type) {
    case undefined:
      break;
    case "linear":
      key("scaling.type", { type: "string", value: "linear" });
      real("scaling.factor", scaling.factor);
      break;
    case "llama3":
      if (architecture !== "llama") throw refusal(config, "of type llama3", "does not have");
      break;
    case "yarn":
      if (!scaling.truncate) throw refusal(config, "of type yarn with truncate = false", "always truncates");
      key("scaling.type", { type: "string", value: "yarn" });
      real("scaling.factor", scaling.factor);
      key("scaling.original_context_length", { type: "uint32", value: scaling.originalContextTokens });
      real("scaling.attn_factor", scaling.attentionFactor / yarnAttentionFactor(scaling));
      real("scaling.yarn_beta_fast", scaling.betaFast);
      real("scaling.yarn_beta_slow", scaling.betaSlow);
  }
  return metadata;
}

/** What plain frequencies are divided by, f32 [D/2]; undefined where the keys say it all. */
export function ropeFactors(config: ModelConfig): Float32Array | undefined {
  if (config.ropeScaling?.type !== "llama3") return undefined;
  const plain = rotaryFrequencies({ ...config, ropeScaling: null }).frequencies;
  const scaled = rotaryFrequencies(config).frequencies;
  return plain.map((frequency, i) => frequency / scaled[i]!);
}

/** What llama.cpp multiplies cosine and sine by, before its key attn_factor: arXiv:2309.00071, equation 22. */
function yarnAttentionFactor({ factor }: Extract<RopeScaling, { type: "yarn" }>): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}

function refusal({ architecture }: ModelConfig, scaling: string, reason: string): CheckpointError {
  return new CheckpointError(
    `This model cannot be written to GGUF: its RoPE scaling is ${scaling}, which llama.cpp's ${architecture} ${reason}.`,
  );
}
