/**
 * What a GGUF file says about its model: `general.*` (what it is, from the config and the model card) and the keys of
 * its architecture (from which llama.cpp builds the graph). The tokenizer's keys are `tokenizer.ts`.
 */

import { CheckpointError } from "../../errors.ts";
import { ggufArchitecture } from "../families/registry.ts";
import { modelSize } from "../memory.ts";
import { type ModelConfig, someLayer } from "../model-config.ts";
import type { GgufValue } from "./format.ts";
import type { ModelCard } from "./model-card.ts";
import type { TensorFormat } from "./number-formats.ts";
import { ropeMetadata } from "./rope.ts";

/** llama.cpp's numbers (`llama_ftype`) of files whose matrices are mostly in one format. */
const FILE_TYPES: Readonly<Record<TensorFormat, number>> = { f32: 0, f16: 1, q8_0: 7, bf16: 32 };
/** Of ggml's quantised blocks. */
const QUANTIZATION_VERSION = 2;

/**
 * The keys of a file whose matrices are in `format`; `name` is what llama.cpp shows. Throws CheckpointError for a RoPE
 * scaling that llama.cpp does not have.
 */
export function modelMetadata(
  config: ModelConfig,
  options: { readonly name: string; readonly format: TensorFormat; readonly card: ModelCard },
): Map<string, GgufValue> {
  const { name, format, card } = options;
  const { name: architecture } = ggufArchitecture(config.architecture);
  const metadata = new Map<string, GgufValue>();
  const text = (key: string, value: string) => metadata.set(key, { type: "string", value });
  const count = (key: string, value: number) => metadata.set(key, { type: "uint32", value });
  const real = (key: string, value: number) => metadata.set(key, { type: "float32", value });

  text("general.architecture", architecture);
  text("general.type", "model");
  text("general.name", name);
  text("general.size_label", sizeLabel(modelSize(config).parameterCount));
  for (const [key, value] of [...cardMetadata(card), ...samplingMetadata(config)]) metadata.set(key, value);
  count("general.file_type", FILE_TYPES[format]);
  if (format === "q8_0") count("general.quantization_version", QUANTIZATION_VERSION);

  count(`${architecture}.vocab_size`, config.vocabSize);
  count(`${architecture}.context_length`, ggufContextTokens(config));
  count(`${architecture}.embedding_length`, config.hiddenSize);
  count(`${architecture}.block_count`, config.numLayers);
  count(`${architecture}.feed_forward_length`, config.intermediateSize);
  count(`${architecture}.attention.head_count`, config.numHeads);
  count(`${architecture}.attention.head_count_kv`, config.numKvHeads);
  // Without these three llama.cpp takes hiddenSize / numHeads.
  count(`${architecture}.attention.key_length`, config.headDim);
  count(`${architecture}.attention.value_length`, config.headDim);
  count(`${architecture}.rope.dimension_count`, config.headDim);
  real(`${architecture}.attention.layer_norm_rms_epsilon`, config.rmsNormEpsilon);
  for (const [key, value] of ropeMetadata(config)) metadata.set(key, value);
  for (const [key, value] of layerMetadata(config)) metadata.set(`${architecture}.${key}`, value);
  return metadata;
}

/**
 * The positions that a file promises: the model's, but where llama.cpp's architecture has no sliding windows not more than
 * the window, up to which there is no difference.
 */
export function ggufContextTokens(config: ModelConfig): number {
  const { layers } = ggufArchitecture(config.architecture);
  if (layers !== undefined) return config.maxContextTokens;
  return Math.min(config.maxContextTokens, config.slidingWindow ?? Number.POSITIVE_INFINITY);
}

/** Keys about layers that differ. Throws CheckpointError for what llama.cpp's architecture does not have. */
function layerMetadata(config: ModelConfig): ReadonlyMap<string, GgufValue> {
  const { name, layers } = ggufArchitecture(config.architecture);
  if (layers !== undefined) return layers.write(config);
  if (config.queryPreAttnScalar === null && !someLayer(config, ({ rope }) => rope !== "global")) return new Map();
  throw new CheckpointError(
    `This model cannot be written to GGUF: its layers or its attention differ from those of llama.cpp's ${name}.`,
  );
}

/** How to sample where nothing else is said: from generation_config.json, where that asks for sampling. */
function samplingMetadata({ generationDefaults }: ModelConfig): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  if (generationDefaults.do_sample !== true) return metadata;
  for (const [from, key, type] of [
    ["top_k", "top_k", "int32"],
    ["top_p", "top_p", "float32"],
    ["min_p", "min_p", "float32"],
    ["temperature", "temp", "float32"],
    ["repetition_penalty", "penalty_repeat", "float32"],
  ] as const) {
    const value = generationDefaults[from];
    if (typeof value !== "number" || !Number.isFinite(value) || (type === "int32" && !Number.isInteger(value)))
      continue;
    metadata.set(`general.sampling.${key}`, { type, value });
  }
  return metadata;
}

function cardMetadata(card: ModelCard): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const { license, licenseName, licenseLink, baseModels, tags, languages } = card;
  for (const [key, value] of Object.entries({ "": license, ".name": licenseName, ".link": licenseLink })) {
    if (value !== undefined) metadata.set(`general.license${key}`, { type: "string", value });
  }
  if (baseModels.length > 0) {
    metadata.set("general.base_model.count", { type: "uint32", value: baseModels.length });
    for (const [index, id] of baseModels.entries()) {
      const [organization, name] = id.includes("/") ? id.split("/", 2) : [undefined, id];
      const text = (key: string, value: string) =>
        metadata.set(`general.base_model.${index}.${key}`, { type: "string", value });
      text("name", name!);
      if (organization !== undefined) {
        text("organization", organization);
        text("repo_url", `https://huggingface.co/${id}`);
      }
    }
  }
  if (tags.length > 0) metadata.set("general.tags", { type: "string", values: tags });
  if (languages.length > 0) metadata.set("general.languages", { type: "string", values: languages });
  return metadata;
}

/** A parameter count as model names have it: 263K, 494M, 7.6B. */
function sizeLabel(parameterCount: number): string {
  for (const [unit, size] of [
    ["B", 1e9],
    ["M", 1e6],
    ["K", 1e3],
  ] as const) {
    const scaled = parameterCount / size;
    if (scaled >= 0.9995) return `${scaled < 9.95 ? Number(scaled.toFixed(1)) : scaled.toFixed(0)}${unit}`;
  }
  return String(parameterCount);
}
