/**
 * Peak memory of a run, from shapes alone. An estimate for deciding whether a recipe fits a machine, not an account:
 * activations are counted by the tensors that the backward pass reads, kernels' own work space is not.
 *
 *     process + weights + gradients + Adam's moments + reference + teachers and reward models + max(key-value cache, activations + logits)
 */

import { ALL_LORA_TARGETS, adapterSpecs } from "../model/lora.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { elementCount } from "../model/parameters.ts";
import type { Recipe } from "../recipe/schema.ts";
import { trainers } from "../train/trainers.ts";

const F32_BYTES = 4;
/** Node, ONNX Runtime and the programs, before any weight. The smoke recipe's whole run peaks at 188 MiB, of which its model is
 * a few; the rest is room for kernels' work space, which is not counted otherwise (docs/doctor.md has what was measured). */
const PROCESS_BYTES = 250 * 2 ** 20;
/** The local engine's own limits where a recipe says nothing. */
const DEFAULT_MICRO_BATCH_TOKENS = 2048;
const CACHE_BYTES = 2 ** 30;
const MAX_SLOTS = 256;
const LOGIT_CHUNK_BYTES = 128 * 2 ** 20;
/** Logits, their softmax and their gradient. */
const LOGIT_TENSORS = 3;
/** Bytes of a packed weight: 4 bits and its share of a block's scale; embeddings are bfloat16 then. */
const NF4_BYTES = 0.5625;
const BF16_BYTES = 2;

/** The keys of the local engine that decide about memory. */
interface LocalLimits {
  readonly microBatchTokens?: number;
  readonly logitChunkTokens?: number;
  readonly gradientCheckpointing?: boolean;
}

/** Parameters that are trained: all of them, or the adapter's. */
export function trainableParameters(config: ModelConfig, { model }: Pick<Recipe, "model">): number {
  if (model.lora === undefined && model.adapter === undefined) return modelSize(config).parameterCount;
  const { targets, ...lora } = model.lora ?? {
    rank: 16,
    alpha: 32,
    dropout: 0,
    rsLora: false,
    targets: "all-linear" as const,
  };
  const list = targets === "all-linear" ? ALL_LORA_TARGETS : targets;
  return adapterSpecs(config, { ...lora, targets: list }).reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/**
 * Bytes at the moment that takes most. `promptTokens`: length of a usual prompt; `companions`: further models that are in
 * memory beside the trained one, teachers and reward models.
 */
export function estimatePeakBytes(
  config: ModelConfig,
  recipe: Recipe,
  promptTokens: number,
  companions: readonly ModelConfig[] = [],
): number {
  const { parameterCount, parametersByKind } = modelSize(config);
  const packed = (parametersByKind.attention ?? 0) + (parametersByKind.mlp ?? 0);
  const weights =
    recipe.model.quantization === undefined
      ? parameterCount * F32_BYTES
      : packed * NF4_BYTES + (parameterCount - packed) * BF16_BYTES;
  const optimizer = trainableParameters(config, recipe) * 3 * F32_BYTES;
  const hasAdapter = recipe.model.lora !== undefined || recipe.model.adapter !== undefined;
  const known = { promptTokens, contextTokens: config.maxContextTokens };
  const needs = recipe.stages.flatMap((stage) => {
    return trainers.get(stage.trainer).examination?.memory?.(stage, known) ?? [];
  });
  const hasReference = needs.some((need) => need.hasReference);
  const reference = hasReference && !hasAdapter ? parameterCount * F32_BYTES : 0;
  const perToken = modelSize(config).memory.kvCacheBytesPerToken;
  const moments = needs.map(({ trained, sampled }) => {
    const { sequences, length } = sampled ?? { sequences: 0, length: 0 };
    const cache = Math.min(CACHE_BYTES, Math.min(MAX_SLOTS, sequences) * length * perToken);
    return Math.max(cache, trainingBytes(config, recipe, trained.tokens, trained.longest));
  });
  const beside = companions.reduce((sum, one) => sum + modelSize(one).memory.weightsBytes, 0);
  return PROCESS_BYTES + weights + optimizer + reference + beside + Math.max(0, ...moments);
}

/** Activations and logits of one micro-batch: `tokens` there are, in sequences of `length`. */
function trainingBytes(config: ModelConfig, { engine: spec }: Recipe, tokens: number, length: number): number {
  const { hiddenSize: H, intermediateSize: I, numHeads, numKvHeads, headDim: D, numLayers, vocabSize } = config;
  const engine = spec as LocalLimits;
  const positions = Math.min(tokens, Math.max(length, engine.microBatchTokens ?? DEFAULT_MICRO_BATCH_TOKENS));
  const attended = Math.min(length, positions);
  // Norms, projections before and after RoPE, attention's weights and result, the MLP's three.
  const layer = 6 * H + 3 * numHeads * D + 4 * numKvHeads * D + numHeads * attended + 4 * I;
  const kept = engine.gradientCheckpointing ? numLayers * H + 2 * layer : numLayers * layer;
  const chunk =
    engine.logitChunkTokens === undefined ? LOGIT_CHUNK_BYTES : engine.logitChunkTokens * vocabSize * F32_BYTES;
  const logits = LOGIT_TENSORS * Math.min(positions * vocabSize * F32_BYTES, chunk);
  return positions * kept * F32_BYTES + logits;
}
