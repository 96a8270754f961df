/**
 * Peak memory of a run, from shapes alone. An estimate for deciding whether a recipe fits a machine, not an account:
 * activations are counted by the tensors that the backward pass reads, kernels' own work space is not.
 *
 *     process + weights + gradients + Adam's moments + reference + teachers and reward models + max(key-value cache, activations + logits)
 *
 * What a GPU holds is `device-memory.ts`'s; here is left what the host takes then.
 */

import { KeyValueCache } from "../engine/local/key-value-cache.ts";
import { affordableRows, type LocalLimits, logitChunkTokens } from "../engine/local/limits.ts";
import { isEmulated, localLimitsOf, otherDeviceOf, trunkOf } from "../engine/local/local-kind.ts";
import { type FloatDType, isHalf } from "../graph/tensor-type.ts";
import { ALL_LORA_TARGETS, adapterSpecs } from "../model/lora.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { elementCount, parameterSpecs } from "../model/parameters.ts";
import type { Quantization } from "../model/quantization.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { MemoryNeed, StageTrial } from "../train/examination.ts";
import { trainers } from "../train/trainers.ts";

const F32_BYTES = 4;
/** Node, ONNX Runtime and the programs, before any weight. The smoke recipe's whole run peaks at 188 MiB, of which its model is
 * a few; the rest is room for kernels' work space, which is not counted otherwise (docs/doctor.md has what was measured). */
const PROCESS_BYTES = 250 * 2 ** 20;
/** Logits, their softmax and their gradient. */
const LOGIT_TENSORS = 3;
/** Bytes of a packed weight: 4 bits and its share of a block's scale; embeddings are bfloat16 then. */
const NF4_BYTES = 0.5625;
const HALF_BYTES = 2;

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
 * Bytes at the moment that takes most. `promptTokens`: length of a usual prompt; `supportingModels`: further models that are in
 * memory beside the trained one, teachers and reward models. With another engine than the embedded one these are all that is
 * here.
 */
export function estimatePeakBytes(
  config: ModelConfig,
  recipe: Recipe,
  promptTokens: number,
  supportingModels: readonly ModelConfig[] = [],
): number {
  const beside = supportingModels.reduce((sum, one) => sum + modelSize(one).memory.weightsBytes, 0);
  const limits = localLimitsOf(recipe.engine);
  if (limits === undefined) return PROCESS_BYTES + beside;
  // A model that is read passes through the host one tensor at a time, and again on its way to the device.
  if (isOnGpu(recipe)) return PROCESS_BYTES + 2 * F32_BYTES * largestParameter(config);
  const optimizer = trainableParameters(config, recipe) * 3 * F32_BYTES;
  const { weights, reference, snapshot } = weightBytes(config, recipe, promptTokens);
  const needs = memoryNeeds(config, recipe, promptTokens);
  const held = isHalf(cachedDType(recipe)) ? HALF_BYTES : F32_BYTES;
  const moments = needs.map(({ trained, sampled }) => {
    const cache = sampled === undefined ? 0 : cacheBytes(config, cachedDType(recipe), limits, sampled);
    return Math.max(cache, trainingBytes(config, recipe.model.quantization, { ...limits, held }, trained));
  });
  return PROCESS_BYTES + weights + optimizer + reference + snapshot + beside + Math.max(0, ...moments);
}

/** With `auto` it may be the processors that hold everything. */
function isOnGpu({ engine }: Pick<Recipe, "engine">): boolean {
  return ![undefined, "auto"].includes(otherDeviceOf(engine));
}

/** Elements of the largest tensor of a model. */
export function largestParameter(config: ModelConfig): number {
  return parameterSpecs(config).reduce((most, { shape }) => Math.max(most, elementCount(shape)), 0);
}

/** Bytes of the weights in the form in which they are held, and of the copy that is a reference policy (0: there is none). */
export function weightBytes(
  config: ModelConfig,
  recipe: Recipe,
  promptTokens: number,
): { readonly weights: number; readonly reference: number; readonly snapshot: number } {
  const { parameterCount, parametersByKind } = modelSize(config);
  const projections = (parametersByKind.attention ?? 0) + (parametersByKind.mlp ?? 0);
  const dtype = trunkOf(recipe.engine);
  const hasAdapter = recipe.model.lora !== undefined || recipe.model.adapter !== undefined;
  const whole = parameterCount * F32_BYTES;
  // What is trained, or copied for a reference, is held in float32 and rounded beside it; what is frozen only rounded.
  const rounded = isHalf(dtype) ? projections * HALF_BYTES : 0;
  const frozen = isHalf(dtype) ? (parameterCount - projections) * F32_BYTES + rounded : whole;
  const packed = projections * NF4_BYTES + (parameterCount - projections) * HALF_BYTES;
  const weights = recipe.model.quantization !== undefined ? packed : hasAdapter ? frozen : whole + rounded;
  const needs = memoryNeeds(config, recipe, promptTokens);
  const copy = hasAdapter ? 0 : whole + rounded;
  return {
    weights,
    reference: needs.some((need) => need.hasReference) ? copy : 0,
    snapshot: needs.some((need) => need.hasSnapshot) ? copy : 0,
  };
}

/**
 * Bytes at the moment that takes most, from what this process has taken at its most (`processBytes`) while it tried every
 * stage at its longest lengths. What was not tried is the recipe's full number of sequences at once, so the key-value cache
 * of those is put in the place of that of the trials. Nor does a trial, which is one iteration, sample from a snapshot.
 */
export function peakBytesFromTrials(
  config: ModelConfig,
  recipe: Recipe,
  promptTokens: number,
  { trials, processBytes }: { readonly trials: readonly StageTrial[]; readonly processBytes: number },
): number {
  const limits = localLimitsOf(recipe.engine);
  if (limits === undefined || isOnGpu(recipe)) return processBytes;
  const { problems, samples, maxCompletionTokens } = recipe.evaluation;
  const evaluated = { sequences: problems * samples, length: promptTokens + maxCompletionTokens };
  const sampled = memoryNeeds(config, recipe, promptTokens).flatMap((need) => need.sampled ?? []);
  const largest = (needs: readonly { readonly sequences: number; readonly length: number }[]) =>
    Math.max(0, ...needs.map((need) => cacheBytes(config, cachedDType(recipe), limits, need)));
  const tried = trials.flatMap(({ longest }) => longest ?? []);
  const { snapshot } = weightBytes(config, recipe, promptTokens);
  return processBytes + snapshot + Math.max(0, largest([...sampled, evaluated]) - largest(tried));
}

/** What each stage computes at the moment that takes most, of those whose trainers say it. */
export function memoryNeeds(config: ModelConfig, { stages }: Recipe, promptTokens: number): MemoryNeed[] {
  const known = { promptTokens, contextTokens: config.maxContextTokens };
  return stages.flatMap((stage) => trainers.get(stage.trainer).examination?.memory?.(stage, known) ?? []);
}

/** What activations and cache are held in: where 16 bits are emulated, float32. */
function cachedDType({ engine }: Pick<Recipe, "engine">): FloatDType {
  return isEmulated(engine) ? "float32" : trunkOf(engine);
}

/** Keys and values of the sequences that are sampled at once. */
export function cacheBytes(
  config: ModelConfig,
  dtype: FloatDType,
  limits: LocalLimits,
  { sequences, length }: { readonly sequences: number; readonly length: number },
): number {
  return (
    Math.min(sequences, affordableRows(config, dtype, limits, length)) * KeyValueCache.rowBytes(config, dtype, length)
  );
}

/** Activations and logits of one micro-batch: `tokens` there are, in sequences of `longest`; `held`: bytes of a number of the trunk. */
export function trainingBytes(
  config: ModelConfig,
  quantization: Quantization | undefined,
  limits: LocalLimits & { readonly held: number },
  { tokens, longest: length }: { readonly tokens: number; readonly longest: number },
): number {
  const { hiddenSize: H, intermediateSize: I, numHeads, numKvHeads, headDim: D, numLayers, vocabSize } = config;
  const positions = Math.min(tokens, Math.max(length, limits.microBatchTokens));
  const attended = Math.min(length, positions);
  // Norms, projections before and after RoPE, the MLP's three, attention's result; its weights are float32.
  const trunk = 6 * H + 3 * numHeads * D + 4 * numKvHeads * D + 4 * I;
  const layer = trunk * limits.held + numHeads * attended * F32_BYTES;
  const kept = limits.gradientCheckpointing ? numLayers * H * limits.held + 2 * layer : numLayers * layer;
  const rows = Math.min(positions, logitChunkTokens(limits, config, quantization));
  const logits = LOGIT_TENSORS * rows * vocabSize * F32_BYTES;
  return positions * kept + logits;
}
