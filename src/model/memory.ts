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
  };
}

/** Sizes of the model that `config` describes, in f32. */
export function modelSize(config: ModelConfig): ModelSize {
  const byKind: Partial<Record<ParameterKind, number>> = {};
  let parameterCount = 0;
  for (const { name, shape } of parameterSpecs(config)) {
    const count = elementCount(shape);
    const kind = parameterKind(name);
    byKind[kind] = (byKind[kind] ?? 0) + count;
    parameterCount += count;
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
    },
  };
}
