/** Llama (arXiv:2302.13971, arXiv:2407.21783) and what is published in its form, such as SmolLM2 and TinyLlama. */

import { type ModelFamily, sharedHeadDim } from "./family.ts";

export const llama: ModelFamily = {
  name: "llama",
  className: "LlamaForCausalLM",
  switches: ({ attention_bias, mlp_bias }) => ({
    qkNorm: false,
    attentionBias: attention_bias,
    attentionOutputBias: attention_bias,
    mlpBias: mlp_bias,
  }),
  hasMlpBiasKey: true,
  defaultHeadDim: sharedHeadDim,
  defaultKvHeads: undefined,
  defaultContextTokens: 2048,
  gguf: { name: "llama", pairsNeighbours: true, readsRopeFactors: true, hasBiases: true, sharesHiddenSize: false },
};
