/**
 * How positions are encoded, in llama.cpp's terms.
 *
 * Linear scaling, and YaRN with its usual bounds, are keys, from which llama.cpp computes the frequencies by the same
 * formulas as `../rope.ts`. (It has keys for YaRN's bounds too, but its architectures do not read them.) Every
 * other scaling, Llama 3's among them, is a tensor, `rope_freqs.weight`, f32 [D/2], by which each pair's plain frequency
 * is divided. Some architectures read that (`readsRopeFactors`); for the others such a scaling is refused.
 */

import { CheckpointError } from "../../errors.ts";
import { ggufArchitecture } from "../families/registry.ts";
import type { ModelConfig, RopeScaling } from "../model-config.ts";
import { rotaryFrequencies } from "../rope.ts";
import type { GgufValue } from "./format.ts";

/** The name of the tensor of factors. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** The keys of θ and the scaling. Throws CheckpointError for a scaling that llama.cpp's architecture does not have. */
export function ropeMetadata(config: ModelConfig): Map<string, GgufValue> {
  const { ropeScaling: scaling } = config;
  const gguf = ggufArchitecture(config.architecture);
  const metadata = new Map<string, GgufValue>();
  const key = (name: string, value: GgufValue) => metadata.set(`${gguf.name}.rope.${name}`, value);
  key("freq_base", { type: "float32", value: config.ropeTheta });
  if (scaling === null) return metadata;
  if (scaling.type !== "llama3" && hasKeys(scaling)) {
    key("scaling.type", { type: "string", value: scaling.type });
    key("scaling.factor", { type: "float32", value: scaling.factor });
    if (scaling.type === "linear") return metadata;
    key("scaling.original_context_length", { type: "uint32", value: scaling.originalContextTokens });
    // llama.cpp multiplies cosine and sine by YaRN's own factor, and by this.
    key("scaling.attn_factor", { type: "float32", value: scaling.attentionFactor / yarnAttentionFactor(scaling) });
    return metadata;
  }
  if (!gguf.readsRopeFactors) {
    const which = scaling.type === "yarn" ? "yarn with other bounds than 32 and 1, truncated" : scaling.type;
    throw new CheckpointError(
      `This model cannot be written to GGUF: its RoPE scaling is ${which}, which llama.cpp's ${gguf.name} does not have.`,
    );
  }
  const { attentionFactor } = rotaryFrequencies(config);
  if (attentionFactor !== 1) key("scaling.attn_factor", { type: "float32", value: attentionFactor });
  return metadata;
}

/** What plain frequencies are divided by, f32 [D/2]; undefined where the keys say it all. */
export function ropeFactors(config: ModelConfig): Float32Array | undefined {
  if (config.ropeScaling === null || hasKeys(config.ropeScaling)) return undefined;
  const plain = rotaryFrequencies({ ...config, ropeScaling: null }).frequencies;
  const scaled = rotaryFrequencies(config).frequencies;
  return plain.map((frequency, i) => frequency / scaled[i]!);
}

/** Whether llama.cpp computes a scaling's frequencies itself. */
function hasKeys(scaling: RopeScaling): boolean {
  if (scaling.type !== "yarn") return scaling.type === "linear";
  return scaling.betaFast === 32 && scaling.betaSlow === 1 && scaling.truncate;
}

/** What llama.cpp multiplies cosine and sine by under YaRN: arXiv:2309.00071, equation 22. */
export function yarnAttentionFactor({ factor }: Extract<RopeScaling, { type: "yarn" }>): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}
