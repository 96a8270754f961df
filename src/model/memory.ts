/** How many parameters a model has and how much memory it takes, from its config alone. */

import type { ModelConfig } from "./model-config.ts";
import { type ParameterKind, parameterKind } from "./parameter-kinds.ts";
import { elementCount, parameterSpecs } from "./parameters.ts";

const F32_BYTES = 4;

export interface ModelSize {
  readonly parameterCount: number;
  /** Only kinds that the model has. */
  readonly parametersByKind: Readonly<Partial<Record<ParameterKind, number>>>;
  readonly memory: {
    /** f32 weights: 4 bytes a parameter. */
    readonly weightsBytes: number;
    /** The accumulated gradient: as the weights. */
    readonly gradientsBytes: number;
    /** AdamW's two moments: twice the weights. */
    readonly adamBytes: number;
    /** Keys and values that sampling keeps for one position of one sequence: 2 · L · kv · D · 4 bytes. */
    readonly kvCacheBytesPerToken: number;
    /** One sequence of the whole context: weights and its key-value cache. */
    readonly sampleBytes: number;
    /** Weights, gradient and moments; activations, which depend on the batch, come on top. */
    readonly trainBytes: number;
    /** Training an adapter instead: the frozen weights, and for its parameters 16 bytes each, as above. */
    readonly lora: { readonly rank: number; readonly parameterCount: number; readonly trainBytes: number };
  };
}

/**
 * Sizes of the model that `config` describes, in f32. The adapter is LoRA (arXiv:2106.09685) of rank r on every projection
 * of attention and MLP: r · (in + out) parameters for each [out, in].
 */
export function modelSize(config: ModelConfig, loraRank = 16): ModelSize {
  const byKind: Partial<Record<ParameterKind, number>> = {};
  let parameterCount = 0;
  let loraCount = 0;
  for (const { name, shape } of parameterSpecs(config)) {
    const count = elementCount(shape);
    const kind = parameterKind(name);
    byKind[kind] = (byKind[kind] ?? 0) + count;
    parameterCount += count;
    if (kind === "attention" || kind === "mlp") loraCount += loraRank * (shape[0]! + shape[1]!);
  }
  const weightsBytes = parameterCount * F32_BYTES;
  const kvCacheBytesPerToken = 2 * config.numLayers * config.numKvHeads * config.headDim * F32_BYTES;
  return {
    parameterCount,
    parametersByKind: byKind,
    memory: {
      weightsBytes,
      gradientsBytes: weightsBytes,
      adamBytes: 2 * weightsBytes,
      kvCacheBytesPerToken,
      sampleBytes: weightsBytes + kvCacheBytesPerToken * config.maxContextTokens,
      trainBytes: 4 * weightsBytes,
      lora: { rank: loraRank, parameterCount: loraCount, trainBytes: weightsBytes + 4 * F32_BYTES * loraCount },
    },
  };
}
