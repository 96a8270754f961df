/**
 * Memory of a GPU that a recipe takes, from shapes alone, part by part. On a device nothing of a model stays with the host
 * (docs/gpu.md), and nothing is swapped out: what does not fit ends the run. Like `memory-estimate.ts` it counts tensors, and
 * not the work space of kernels or what the driver keeps for itself.
 */

import { localLimitsOf, trunkOf } from "../engine/local/local-kind.ts";
import { isHalf } from "../graph/tensor-type.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Recipe } from "../recipe/schema.ts";
import {
  cacheBytes,
  largestParameter,
  memoryNeeds,
  trainableParameters,
  trainingBytes,
  weightBytes,
} from "./memory-estimate.ts";

const F32_BYTES = 4;
const HALF_BYTES = 2;

/** Elements that AdamW and the norm join at a time (`compute/joined-programs.ts`), and tensors of that size that it holds then. */
const JOINED_ELEMENTS = 2 ** 26;
const JOINED_TENSORS = 10;
/** Of a tensor that is larger, alone. */
const ALONE_TENSORS = 3;
/** The embedding's gradient comes from the head and from the lookup; these parts, and their sums. */
const EMBEDDING_TENSORS = 4;

/** One kind of tensors. */
export interface MemoryPart {
  readonly what: string;
  readonly bytes: number;
}

/** What a recipe takes of a GPU's memory. */
export interface DeviceMemoryNeed {
  /** Largest first. */
  readonly parts: readonly MemoryPart[];
  readonly bytes: number;
  /** Of the largest tensor: a device limits the size of a single buffer, too. */
  readonly largestBufferBytes: number;
  /** What that tensor is. */
  readonly largestBuffer: string;
}

/**
 * The need of a recipe of the embedded engine; undefined with another one. `promptTokens`: length of a usual prompt;
 * `supportingModels`: teachers and reward models beside the trained one.
 */
export function deviceMemoryNeed(
  config: ModelConfig,
  recipe: Recipe,
  promptTokens: number,
  supportingModels: readonly ModelConfig[] = [],
): DeviceMemoryNeed | undefined {
  const limits = localLimitsOf(recipe.engine);
  if (limits === undefined) return undefined;
  const dtype = trunkOf(recipe.engine);
  const held = isHalf(dtype) ? HALF_BYTES : F32_BYTES;
  const trained = trainableParameters(config, recipe);
  const isWhole = trained === modelSize(config).parameterCount;
  const embedding = config.vocabSize * config.hiddenSize;
  const needs = memoryNeeds(config, recipe, promptTokens);
  const most = (bytes: readonly number[]) => Math.max(0, ...bytes);
  const micro = (tokens: number, longest: number) => Math.min(tokens, Math.max(longest, limits.microBatchTokens));
  const { weights, reference, snapshot } = weightBytes(config, recipe, promptTokens);
  const hasSeveral = needs.some(({ trained: { tokens, longest } }) => tokens > micro(tokens, longest));
  const caches = needs.flatMap(({ sampled }) => (sampled ? [cacheBytes(config, dtype, limits, sampled)] : []));
  const activations = needs.map((need) =>
    trainingBytes(config, recipe.model.quantization, { ...limits, held }, need.trained),
  );
  const equalIds = needs.map(({ trained: { tokens, longest } }) => F32_BYTES * micro(tokens, longest) ** 2);
  const largest = isWhole ? largestParameter(config) : 0;
  const optimizer = Math.max(JOINED_TENSORS * Math.min(JOINED_ELEMENTS, trained), ALONE_TENSORS * largest);
  const all: readonly MemoryPart[] = [
    { what: "weights", bytes: weights },
    { what: "gradients", bytes: F32_BYTES * trained },
    { what: "gradients of further micro-batches", bytes: hasSeveral ? F32_BYTES * trained : 0 },
    { what: "moments of AdamW", bytes: 2 * F32_BYTES * trained },
    { what: "reference policy", bytes: reference },
    { what: "snapshot that is sampled from", bytes: snapshot },
    { what: "teachers and reward models", bytes: supportingModels.reduce((sum, one) => sum + sizeOf(one), 0) },
    { what: "key-value cache", bytes: most(caches) },
    { what: "activations and logits", bytes: most(activations) },
    {
      what: "the embedding's gradient",
      bytes: isWhole ? EMBEDDING_TENSORS * F32_BYTES * embedding + most(equalIds) : 0,
    },
    { what: "work of AdamW", bytes: F32_BYTES * optimizer },
  ];
  const parts = all.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes);
  const buffers: readonly MemoryPart[] = [
    { what: "the largest weight", bytes: F32_BYTES * largestParameter(config) },
    { what: "a layer's keys", bytes: most(caches) / (2 * config.numLayers) },
    { what: "equal token ids of a micro-batch", bytes: most(equalIds) },
    { what: "tensors that AdamW joins", bytes: F32_BYTES * Math.min(JOINED_ELEMENTS, trained) },
  ];
  const buffer = buffers.reduce((largest, one) => (one.bytes > largest.bytes ? one : largest));
  return {
    parts,
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    ...{ largestBufferBytes: buffer.bytes, largestBuffer: buffer.what },
  };
}

function sizeOf(config: ModelConfig): number {
  return modelSize(config).memory.weightsBytes;
}
