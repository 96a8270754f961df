/** Shapes of models that Aha's own recipes and benchmarks start from random weights; vocabulary and special tokens come
 * from the tokenizer. */

import { ConfigError, nearestName } from "../errors.ts";
import { type ModelConfig, PLAIN_DECODER } from "./model-config.ts";

/** What a preset leaves to the tokenizer. */
type FromTokenizer = "vocabSize" | "bosTokenId" | "eosTokenIds" | "padTokenId";

const QWEN3 = {
  ...PLAIN_DECODER,
  architecture: "qwen3",
  rmsNormEpsilon: 1e-6,
  ropeTheta: 10_000,
  ropeScaling: null,
  tieWordEmbeddings: true,
  attentionBias: false,
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: true,
  generationDefaults: {},
} as const;

/** By name; parameter counts are those with the tokenizer in parentheses. */
export const MODEL_PRESETS = {
  /** 0.26M (countdown-compact): learns three-number Countdown in minutes. */
  tiny: {
    ...QWEN3,
    hiddenSize: 96,
    intermediateSize: 192,
    numLayers: 3,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 24,
    maxContextTokens: 512,
  },
  /** 2.0M (countdown-compact): numbers up to 99, three and four of them. */
  small: {
    ...QWEN3,
    hiddenSize: 192,
    intermediateSize: 512,
    numLayers: 5,
    numHeads: 6,
    numKvHeads: 2,
    headDim: 32,
    maxContextTokens: 1024,
  },
  /** 4.75M (characters): the shape that the benchmarks against Python use. */
  bench: {
    ...QWEN3,
    hiddenSize: 256,
    intermediateSize: 768,
    numLayers: 6,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 64,
    maxContextTokens: 2048,
  },
} as const satisfies Readonly<Record<string, Omit<ModelConfig, FromTokenizer>>>;

export type ModelPreset = keyof typeof MODEL_PRESETS;

/** The preset `name` for a tokenizer; throws ConfigError, with the nearest name, where there is none. */
export function presetConfig(
  name: string,
  tokenizer: { readonly vocabSize: number; readonly eosTokenId: number | null; readonly padTokenId: number | null },
): ModelConfig {
  if (!Object.hasOwn(MODEL_PRESETS, name)) {
    const names = Object.keys(MODEL_PRESETS);
    const near = nearestName(name, names);
    const hint = near === undefined ? "" : ` Did you mean ${JSON.stringify(near)}?`;
    throw new ConfigError(`There is no model preset ${JSON.stringify(name)}; there are ${names.join(", ")}.${hint}`);
  }
  return {
    ...MODEL_PRESETS[name as ModelPreset],
    vocabSize: tokenizer.vocabSize,
    bosTokenId: null,
    eosTokenIds: tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId],
    padTokenId: tokenizer.padTokenId,
  };
}
