/**
 * Random checkpoints of the families, with every setting that GGUF export treats apart in both positions, and
 * tokenizers of both kinds. The tests of the export's files (test/model/gguf.test.ts) and the comparison with llama.cpp
 * (run.ts) write them to temporary directories.
 */

import { cp, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { decoderSwitches, newModelLayers } from "../../src/model/families/registry.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { type ModelConfig, PLAIN_DECODER } from "../../src/model/model-config.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import { parameterKind } from "../../src/model/parameter-kinds.ts";
import { Random } from "../../src/random.ts";

/** Folders of test/golden/tokenizers. */
export type TokenizerName = "byte-level" | "qwen-like" | "llama-like" | "characters" | "countdown-compact" | "none";

export interface CheckpointCase {
  readonly config: ModelConfig;
  readonly tokenizer: TokenizerName;
}

const BASE: ModelConfig = {
  ...PLAIN_DECODER,
  architecture: "qwen3",
  vocabSize: 411, // beyond the byte-level tokenizers': rows without a token
  hiddenSize: 52,
  intermediateSize: 76,
  numLayers: 3,
  numHeads: 6,
  numKvHeads: 2,
  headDim: 24, // not hiddenSize / numHeads
  maxContextTokens: 160,
  rmsNormEpsilon: 3e-5,
  ropeTheta: 43_210,
  ropeScaling: null,
  tieWordEmbeddings: true,
  attentionBias: false,
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: true,
  bosTokenId: null,
  eosTokenIds: [2],
  padTokenId: 0,
  generationDefaults: {},
};
/** llama.cpp's qwen2 has heads that share the hidden size, as all of Qwen's own do. */
const QWEN2 = {
  ...BASE,
  architecture: "qwen2",
  qkNorm: false,
  attentionBias: true,
  hiddenSize: 48,
  headDim: 8,
} as const;
const LLAMA = { ...BASE, architecture: "llama", qkNorm: false } as const;
const SMOLLM3 = {
  ...LLAMA,
  ...newModelLayers("smollm3", { numLayers: 5, headDim: 24 }),
  architecture: "smollm3",
  numLayers: 5,
} as const;
const GEMMA3 = {
  ...BASE,
  ...decoderSwitches("gemma3_text"),
  ...newModelLayers("gemma3_text", { numLayers: 7, headDim: 24 }),
  architecture: "gemma3_text",
  numLayers: 7,
  numHeads: 4,
  slidingWindow: 9, // prompts and completions are longer
} as const;
const YARN = {
  type: "yarn",
  factor: 4,
  originalContextTokens: 40,
  attentionFactor: 1.2,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
} as const;

/** By name; what is not said is as in the first. */
export const CHECKPOINTS: Readonly<Record<string, CheckpointCase>> = {
  "qwen3, tied": { config: BASE, tokenizer: "byte-level" },
  "qwen3, untied, linear scaling, one kv head": {
    config: {
      ...BASE,
      vocabSize: 130,
      eosTokenIds: [1],
      tieWordEmbeddings: false,
      numKvHeads: 1,
      ropeScaling: { type: "linear", factor: 2.5 },
    },
    tokenizer: "countdown-compact",
  },
  "qwen2, untied, biases": {
    config: { ...QWEN2, tieWordEmbeddings: false },
    tokenizer: "qwen-like",
  },
  "qwen2, tied, yarn, no tokenizer": {
    config: {
      ...QWEN2,
      vocabSize: 61,
      numHeads: 2,
      headDim: 24,
      ropeScaling: YARN,
    },
    tokenizer: "none",
  },
  "llama, tied, llama3 scaling": {
    config: {
      ...LLAMA,
      bosTokenId: 0,
      eosTokenIds: [4, 1],
      padTokenId: null,
      ropeScaling: {
        type: "llama3",
        factor: 8,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalContextTokens: 64,
      },
    },
    tokenizer: "llama-like",
  },
  "llama, untied, biases everywhere, yarn with other bounds": {
    config: {
      ...LLAMA,
      vocabSize: 99,
      numKvHeads: 3,
      tieWordEmbeddings: false,
      attentionBias: true,
      attentionOutputBias: true,
      mlpBias: true,
      ropeScaling: { ...YARN, betaFast: 24, betaSlow: 1.5, truncate: false },
    },
    tokenizer: "characters",
  },
  "mistral, heads of their own size": {
    config: { ...LLAMA, architecture: "mistral", headDim: 16, ropeTheta: 1e6, tieWordEmbeddings: false },
    tokenizer: "byte-level",
  },
  "smollm3, tied": { config: { ...SMOLLM3, bosTokenId: 0, eosTokenIds: [4, 1] }, tokenizer: "llama-like" },
  "smollm3, untied, linear scaling": {
    config: { ...SMOLLM3, vocabSize: 99, tieWordEmbeddings: false, ropeScaling: { type: "linear", factor: 3 } },
    tokenizer: "characters",
  },
  "gemma3, tied, linear scaling": {
    config: { ...GEMMA3, numKvHeads: 1, ropeScaling: { type: "linear", factor: 8 } },
    tokenizer: "byte-level",
  },
  "gemma3, every third layer full, another local RoPE": {
    config: {
      ...GEMMA3,
      vocabSize: 61,
      localRope: { ropeTheta: 750, ropeScaling: null },
      layers: Array.from({ length: 7 }, (_, layer) =>
        layer % 3 === 2 ? { slides: false, rope: "global" } : { slides: true, rope: "local" },
      ),
    },
    tokenizer: "none",
  },
  "llama, plain, rows of whole blocks": {
    config: { ...LLAMA, hiddenSize: 64, intermediateSize: 96, headDim: 16, numHeads: 4, tieWordEmbeddings: false },
    tokenizer: "byte-level",
  },
};

/**
 * Writes a case into a new directory. Matrices have the standard deviation `gain`/√in, so that logits are well apart;
 * biases and the gains of norms are random too, since at their usual 0 and 1 a wrong place would not show.
 */
export async function writeCheckpoint(
  directory: string,
  { config, tokenizer }: CheckpointCase,
  options: { readonly seed?: number; readonly gain?: number; readonly dtype?: "float32" | "bfloat16" } = {},
): Promise<void> {
  const { seed = 1, gain = 2.5, dtype = "float32" } = options;
  // Where embeddings enter multiplied by √H they would drown the layers, and the best token repeat the last.
  const embeddingStd = config.scalesEmbedding ? 0.5 / Math.sqrt(config.hiddenSize) : 0.5;
  const values = initializeParameters(config, { seed, init: { scheme: "scaled", gain, embeddingStd } });
  for (const [name, value] of values) {
    const kind = parameterKind(name);
    if (kind !== "norm" && kind !== "bias") continue;
    const random = new Random(seed, `checkpoint/${name}`);
    const middle = kind === "norm" && !config.offsetNorms ? 1 : 0;
    for (let i = 0; i < value.length; i++) value[i] = middle + 0.3 * random.normal();
  }
  await mkdir(directory, { recursive: true });
  await writeTokenizer(directory, tokenizer);
  await saveModel(directory, config, values, { dtype });
}

async function writeTokenizer(directory: string, name: TokenizerName): Promise<void> {
  if (name === "none") return;
  const golden = fileURLToPath(new URL(`../golden/tokenizers/${name}`, import.meta.url));
  await cp(golden, directory, { recursive: true });
}
