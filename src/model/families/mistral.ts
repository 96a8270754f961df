/**
 * Mistral (arXiv:2310.06825) and its successors of the same form: Llama without biases, and in the first version a sliding
 * window in every layer. An absent `sliding_window` means 4096, as in transformers; null means none.
 */

import { CheckpointError } from "../../errors.ts";
import { type ModelFamily, sharedHeadDim } from "./family.ts";
import { layersOf, windowSize } from "./layer-kinds.ts";

const DEFAULT_WINDOW = 4096;

export const mistral: ModelFamily = {
  name: "mistral",
  className: "MistralForCausalLM",
  switches: () => ({ qkNorm: false, attentionBias: false, attentionOutputBias: false, mlpBias: false }),
  hasMlpBiasKey: false,
  defaultHeadDim: sharedHeadDim,
  defaultKvHeads: 8,
  defaultContextTokens: 131_072,
  layers: {
    read: ({ num_hidden_layers, sliding_window = DEFAULT_WINDOW, layer_types }, where) => {
      const slides = sliding_window !== null;
      // MistralForCausalLM does not read this key.
      const implied = slides ? "sliding_attention" : "full_attention";
      const other = layer_types?.find((type) => type !== implied);
      if (other !== undefined) {
        throw new CheckpointError(
          `${where}: layer_types has ${JSON.stringify(other)}, but sliding_window = ${sliding_window} makes every layer of a ` +
            `mistral ${JSON.stringify(implied)}. A model whose layers differ has another model_type.`,
        );
      }
      return {
        slidingWindow: slides ? windowSize(sliding_window, where) : null,
        layers: slides ? layersOf(num_hidden_layers, () => ({ slides: true })) : [],
        queryPreAttnScalar: null,
      };
    },
    write: ({ slidingWindow }) => ({ sliding_window: slidingWindow }),
    ofNewModels: { sliding_window: null },
  },
  gguf: { name: "llama", pairsNeighbours: true, readsRopeFactors: true, hasBiases: true, sharesHiddenSize: false },
};
