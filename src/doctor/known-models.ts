/**
 * Shapes of the models that R1 recipes start from, as their config.json on the Hub have them, so that memory can be
 * estimated for a model that is not on this machine. Nothing is trained from this table.
 *
 * Columns: H, I, L, heads, key-value heads, D, V, tied embeddings, positions (the smallest of base and instruct models).
 */

import { decoderSwitches, newModelLayers } from "../model/families/registry.ts";
import type { ModelConfig } from "../model/model-config.ts";

type Shape = readonly [string, number, number, number, number, number, number, number, boolean, number];

/** The first pattern that fits the name behind `org/` counts. */
const SHAPES: readonly (readonly [RegExp, Shape])[] = [
  [/^qwen2\.5-(coder-)?0\.5b/i, ["qwen2", 896, 4864, 24, 14, 2, 64, 151_936, true, 32_768]],
  [/^qwen2\.5-math-1\.5b/i, ["qwen2", 1536, 8960, 28, 12, 2, 128, 151_936, true, 4096]],
  [/^qwen2\.5-(coder-)?1\.5b/i, ["qwen2", 1536, 8960, 28, 12, 2, 128, 151_936, true, 32_768]],
  [/^deepseek-r1-distill-qwen-1\.5b/i, ["qwen2", 1536, 8960, 28, 12, 2, 128, 151_936, false, 131_072]],
  [/^qwen2\.5-(coder-)?3b/i, ["qwen2", 2048, 11_008, 36, 16, 2, 128, 151_936, true, 32_768]],
  [/^qwen2\.5-math-7b/i, ["qwen2", 3584, 18_944, 28, 28, 4, 128, 152_064, false, 4096]],
  [/^qwen2\.5-(coder-)?7b/i, ["qwen2", 3584, 18_944, 28, 28, 4, 128, 152_064, false, 32_768]],
  [/^qwen3-0\.6b/i, ["qwen3", 1024, 3072, 28, 16, 8, 128, 151_936, true, 32_768]],
  [/^qwen3-1\.7b/i, ["qwen3", 2048, 6144, 28, 16, 8, 128, 151_936, true, 32_768]],
  [/^qwen3-4b/i, ["qwen3", 2560, 9728, 36, 32, 8, 128, 151_936, true, 32_768]],
  [/^qwen3-8b/i, ["qwen3", 4096, 12_288, 36, 32, 8, 128, 151_936, false, 32_768]],
  [/^llama-3\.2-1b/i, ["llama", 2048, 8192, 16, 32, 8, 64, 128_256, true, 131_072]],
  [/^llama-3\.2-3b/i, ["llama", 3072, 8192, 28, 24, 8, 128, 128_256, true, 131_072]],
  [/^mistral-7b.*v0\.3/i, ["mistral", 4096, 14_336, 32, 32, 8, 128, 32_768, false, 32_768]],
  [/^mistral-7b/i, ["mistral", 4096, 14_336, 32, 32, 8, 128, 32_000, false, 32_768]],
  [/^smollm3-3b/i, ["smollm3", 2048, 11_008, 36, 16, 4, 128, 128_256, true, 65_536]],
  [/^gemma-3-270m/i, ["gemma3_text", 640, 2048, 18, 4, 1, 256, 262_144, true, 32_768]],
  [/^gemma-3-1b/i, ["gemma3_text", 1152, 6912, 26, 4, 1, 256, 262_144, true, 32_768]],
  [/^smollm2-135m/i, ["llama", 576, 1536, 30, 9, 3, 64, 49_152, true, 8192]],
  [/^smollm2-360m/i, ["llama", 960, 2560, 32, 15, 5, 64, 49_152, true, 8192]],
];

/** The shape of the model `org/name[@revision]`; undefined where it is not in the table. */
export function knownModel(reference: string): ModelConfig | undefined {
  const name = reference.split("/").at(-1)!.split("@")[0]!;
  const shape = SHAPES.find(([pattern]) => pattern.test(name))?.[1];
  if (shape === undefined) return undefined;
  const [
    architecture,
    hiddenSize,
    intermediateSize,
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    vocabSize,
    tied,
    context,
  ] = shape;
  return {
    ...{ architecture, hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim, vocabSize },
    maxContextTokens: context,
    tieWordEmbeddings: tied,
    rmsNormEpsilon: 1e-6,
    ropeTheta: 1e6,
    ropeScaling: null,
    ...decoderSwitches(architecture),
    ...newModelLayers(architecture, { numLayers, headDim }),
    bosTokenId: null,
    eosTokenIds: [],
    padTokenId: null,
    generationDefaults: {},
  };
}
