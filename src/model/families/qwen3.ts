/** Qwen3 (arXiv:2505.09388): an RMSNorm of each query and key head, and heads of a size of their own. */

import type { ModelFamily } from "./family.ts";
import { windowInLastLayers } from "./layer-kinds.ts";

export const qwen3: ModelFamily = {
  name: "qwen3",
  className: "Qwen3ForCausalLM",
  switches: ({ attention_bias }) => ({
    qkNorm: true,
    attentionBias: attention_bias,
    attentionOutputBias: attention_bias,
    mlpBias: false,
  }),
  hasMlpBiasKey: false,
  defaultHeadDim: () => 128,
  defaultKvHeads: 32,
  defaultContextTokens: 32_768,
  layers: windowInLastLayers,
  gguf: { name: "qwen3", pairsNeighbours: false, readsRopeFactors: false, hasBiases: false, sharesHiddenSize: false },
};
