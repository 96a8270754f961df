/** Qwen2 and Qwen2.5 (arXiv:2407.10671, arXiv:2412.15115): query, key and value always have biases. */

import { type ModelFamily, sharedHeadDim } from "./family.ts";
import { windowInLastLayers } from "./layer-kinds.ts";

export const qwen2: ModelFamily = {
  name: "qwen2",
  className: "Qwen2ForCausalLM",
  switches: () => ({ qkNorm: false, attentionBias: true, attentionOutputBias: false, mlpBias: false }),
  hasMlpBiasKey: false,
  defaultHeadDim: sharedHeadDim,
  defaultKvHeads: 32,
  defaultContextTokens: 32_768,
  layers: windowInLastLayers,
  gguf: { name: "qwen2", pairsNeighbours: false, readsRopeFactors: false, hasBiases: false, sharesHiddenSize: true },
};
