/**
 * Gemma 3's language model (arXiv:2503.19786; 270M and 1B are published as such). Embeddings are multiplied by √H, norms by
 * 1 + w, and what attention and MLP add is normed too; the MLP's gate is GELU's. Five of six layers are local: they slide,
 * and have a RoPE of their own, which no scaling changes. The scale √H is an f32 number here: transformers rounds it to the
 * dtype that it computes in, so a model that it computes in bfloat16 has 25.25 where √640 is 25.298.
 */

import { CheckpointError } from "../../errors.ts";
import type { GgufValue } from "../gguf/format.ts";
import { layerKind, type ModelConfig } from "../model-config.ts";
import type { GgufShape, ModelFamily } from "./family.ts";
import { layersOf, layerTypes, slidingLayers, windowSize } from "./layer-kinds.ts";

/** Every so many layers one attends to everything. */
const DEFAULT_PATTERN = 6;
const DEFAULT_WINDOW = 4096;
const DEFAULT_SCALAR = 256;
const LOCAL_THETA = 10_000;
const LAYERS_OF_27B = 62;

export const gemma3Text: ModelFamily = {
  name: "gemma3_text",
  className: "Gemma3ForCausalLM",
  scoreClassName: "Gemma3TextForSequenceClassification",
  switches: ({ attention_bias }) => ({
    qkNorm: true,
    attentionBias: attention_bias,
    attentionOutputBias: attention_bias,
    mlpBias: false,
    activation: "gelu_tanh",
    offsetNorms: true,
    postNorms: true,
    scalesEmbedding: true,
  }),
  hasMlpBiasKey: false,
  activationKey: "hidden_activation",
  defaultHeadDim: () => 256,
  defaultKvHeads: 4,
  defaultContextTokens: 131_072,
  defaultRopeTheta: 1_000_000,
  defaultLocalRopeTheta: LOCAL_THETA,
  tiesByDefault: true,
  layers: {
    read: (keys, where) => {
      const pattern = keys.sliding_window_pattern ?? DEFAULT_PATTERN;
      const slides = slidingLayers(keys, (layer) => isLocal(layer, pattern), where);
      const scalar = keys.query_pre_attn_scalar ?? DEFAULT_SCALAR;
      const window = keys.sliding_window === undefined ? DEFAULT_WINDOW : keys.sliding_window;
      return {
        slidingWindow: slides.includes(true) ? windowSize(window, where) : null,
        layers: layersOf(keys.num_hidden_layers, (layer) => (slides[layer] ? LOCAL : {})),
        queryPreAttnScalar: scalar === keys.head_dim ? null : scalar,
      };
    },
    write: (config) => {
      return {
        attn_logit_softcapping: null,
        final_logit_softcapping: null,
        layer_types: layerTypes(config),
        query_pre_attn_scalar: config.queryPreAttnScalar ?? config.headDim,
        sliding_window: config.slidingWindow ?? DEFAULT_WINDOW,
        use_bidirectional_attention: false,
      };
    },
    ofNewModels: { sliding_window: 512 },
  },
  gguf: {
    name: "gemma3",
    pairsNeighbours: false,
    readsRopeFactors: false,
    hasBiases: false,
    sharesHiddenSize: false,
    layers: {
      keys: ["attention.sliding_window", "attention.sliding_window_pattern", "rope.freq_base_swa"],
      write: ggufKeys,
      read: (keys, shape) => {
        const { numLayers } = shape;
        const pattern = keys.count("attention.sliding_window_pattern", DEFAULT_PATTERN);
        return {
          slidingWindow: keys.count("attention.sliding_window"),
          layers: layersOf(numLayers, (layer) => (isLocal(layer, pattern) ? LOCAL : {})),
          localRope: { ropeTheta: keys.real("rope.freq_base_swa", LOCAL_THETA), ropeScaling: null },
          queryPreAttnScalar: builtInScalar(shape),
        };
      },
    },
  },
};

const LOCAL = { slides: true, rope: "local" } as const;

const isLocal = (layer: number, pattern: number): boolean => (layer + 1) % pattern !== 0;

/** llama.cpp knows the model of 27B by its layers, and that its scalar is H / h; null is the width of a head. */
function builtInScalar({ numLayers, hiddenSize, numHeads, headDim }: GgufShape): number | null {
  const scalar = numLayers === LAYERS_OF_27B ? hiddenSize / numHeads : headDim;
  return scalar === headDim ? null : scalar;
}

/** llama.cpp has the usual pattern and θ of local layers built in; files that differ say so. */
function ggufKeys(config: ModelConfig): ReadonlyMap<string, GgufValue> {
  const refuse = (what: string): never => {
    throw new CheckpointError(`This model cannot be written to GGUF: ${what}, which llama.cpp's gemma3 does not have.`);
  };
  const { slidingWindow, localRope, numLayers } = config;
  const scalar = builtInScalar(config);
  if (config.queryPreAttnScalar !== scalar) {
    const found = config.queryPreAttnScalar ?? config.headDim;
    refuse(`its query_pre_attn_scalar is ${found}, not ${scalar ?? config.headDim}`);
  }
  if (slidingWindow === null) return refuse("none of its layers has a sliding window");
  if (localRope?.ropeScaling) refuse(`its local layers have RoPE scaled by ${localRope.ropeScaling.type}`);
  const kinds = Array.from({ length: numLayers }, (_, layer) => layerKind(config, layer).slides);
  const firstFull = kinds.indexOf(false);
  const pattern = firstFull < 0 ? Math.max(DEFAULT_PATTERN, numLayers + 1) : firstFull + 1;
  if (kinds.some((slides, layer) => slides !== isLocal(layer, pattern))) {
    refuse("its layer_types are not periodic with one full layer at the end of each period");
  }
  const keys = new Map<string, GgufValue>([["attention.sliding_window", { type: "uint32", value: slidingWindow }]]);
  if (pattern !== DEFAULT_PATTERN) keys.set("attention.sliding_window_pattern", { type: "uint32", value: pattern });
  const theta = localRope?.ropeTheta ?? LOCAL_THETA;
  if (theta !== LOCAL_THETA) keys.set("rope.freq_base_swa", { type: "float32", value: theta });
  return keys;
}
