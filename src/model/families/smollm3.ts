/**
 * SmolLM3: Llama in which some layers encode no positions (NoPE; arXiv:2501.18795): those with 0 in `no_rope_layers`, by
 * default every fourth. Where its config asks for a sliding window, by default the layers without RoPE slide.
 */

import { CheckpointError } from "../../errors.ts";
import { layerKind, type ModelConfig } from "../model-config.ts";
import { type ModelFamily, sharedHeadDim } from "./family.ts";
import { layersOf, layerTypes, slidingLayers, windowSize } from "./layer-kinds.ts";

const DEFAULT_INTERVAL = 4;
/** llama.cpp has the interval built in. */
const GGUF_INTERVAL = 4;

export const smollm3: ModelFamily = {
  name: "smollm3",
  className: "SmolLM3ForCausalLM",
  switches: ({ attention_bias, mlp_bias }) => ({
    qkNorm: false,
    attentionBias: attention_bias,
    attentionOutputBias: attention_bias,
    mlpBias: mlp_bias,
  }),
  hasMlpBiasKey: true,
  defaultHeadDim: sharedHeadDim,
  defaultKvHeads: 4,
  defaultContextTokens: 32_768,
  defaultRopeTheta: 2_000_000,
  tiesByDefault: true,
  layers: {
    read: (keys, where) => {
      const count = keys.num_hidden_layers;
      const interval = keys.no_rope_layer_interval ?? DEFAULT_INTERVAL;
      if (keys.no_rope_layers && keys.no_rope_layers.length < count) {
        throw new CheckpointError(
          `${where}: no_rope_layers has ${keys.no_rope_layers.length} entries for num_hidden_layers = ${count}.`,
        );
      }
      const hasRope = (layer: number) =>
        keys.no_rope_layers ? keys.no_rope_layers[layer] !== 0 : (layer + 1) % interval !== 0;
      const uses = keys.use_sliding_window === true && typeof keys.sliding_window === "number";
      const slides = slidingLayers(keys, (layer) => uses && !hasRope(layer), where);
      if (slides.includes(true) && !uses) {
        throw new CheckpointError(
          `${where}: layer_types has "sliding_attention", but use_sliding_window and sliding_window do not ask for a window; ` +
            "one of them is wrong.",
        );
      }
      return {
        slidingWindow: slides.includes(true) ? windowSize(keys.sliding_window, where) : null,
        layers: layersOf(count, (layer) => ({ slides: slides[layer]!, rope: hasRope(layer) ? "global" : "none" })),
        queryPreAttnScalar: null,
      };
    },
    write: (config) => {
      return {
        layer_types: layerTypes(config),
        no_rope_layers: ropeLayers(config),
        sliding_window: config.slidingWindow,
        use_sliding_window: config.slidingWindow !== null,
      };
    },
  },
  gguf: {
    name: "smollm3",
    pairsNeighbours: true,
    readsRopeFactors: false,
    hasBiases: false,
    sharesHiddenSize: false,
    layers: {
      keys: [],
      write: (config) => {
        const isKnown = ropeLayers(config).every((one, layer) => one === builtIn(layer));
        if (config.slidingWindow === null && isKnown) return new Map();
        throw new CheckpointError(
          "This model cannot be written to GGUF: " +
            (isKnown
              ? "it has a sliding window, which "
              : "its no_rope_layers are not every fourth, which is all that ") +
            "llama.cpp's smollm3 has.",
        );
      },
      read: (_, { numLayers }) => ({
        slidingWindow: null,
        localRope: null,
        queryPreAttnScalar: null,
        layers: layersOf(numLayers, (layer) => ({ rope: builtIn(layer) === 1 ? "global" : "none" })),
      }),
    },
  },
};

/** 1 for a layer with RoPE, 0 for one without. */
function ropeLayers(config: ModelConfig): number[] {
  return Array.from({ length: config.numLayers }, (_, layer) => (layerKind(config, layer).rope === "none" ? 0 : 1));
}

const builtIn = (layer: number): number => ((layer + 1) % GGUF_INTERVAL === 0 ? 0 : 1);
