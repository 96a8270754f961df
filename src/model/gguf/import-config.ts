/**
 * The model that a GGUF file's metadata describes, as Aha has models: the inverse of `metadata.ts` and `rope.ts`.
 *
 * What the metadata leaves to the tensors (biases, a head of its own) is read off their names. A key that would change the
 * numbers, and that Aha's models do not have, is refused by its name.
 */

import { CheckpointError } from "../../errors.ts";
import type { GgufKeys, ModelFamily } from "../families/family.ts";
import { decoderSwitches, families, ggufArchitecture } from "../families/registry.ts";
import { type ModelConfig, PLAIN_DECODER, type RopeScaling } from "../model-config.ts";
import { rotaryFrequencies } from "../rope.ts";
import type { GgufFile } from "./gguf-file.ts";
import type { MetadataValue } from "./metadata-reader.ts";
import { ROPE_FACTORS, yarnAttentionFactor } from "./rope.ts";
import { ENDS_BY_TEXT } from "./special-tokens.ts";
import { TOKEN_TYPES } from "./vocabulary.ts";

/** Keys behind the architecture's name that change a model's numbers, with the values under which they do not. */
const INERT_KEYS: Readonly<Record<string, readonly MetadataValue[]>> = {
  expert_count: [0],
  "attention.sliding_window": [0],
  "attention.sliding_window_pattern": [],
  "rope.freq_base_swa": [],
  "attention.causal": [true],
  "attention.clamp_kqv": [0],
  "attention.max_alibi_bias": [0],
  "attention.scale": [0],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  logit_scale: [0, 1],
  residual_scale: [0, 1],
  embedding_scale: [0, 1],
  use_parallel_residual: [false],
  "rope.scaling.yarn_ext_factor": [1],
  "rope.scaling.yarn_attn_factor": [1],
  "rope.scaling.yarn_beta_fast": [32],
  "rope.scaling.yarn_beta_slow": [1],
};

/** Llama 3's scaling is stored as its factors alone. Every published one has these bounds, most of them these positions. */
const LLAMA3_BOUNDS = { lowFrequencyFactor: 1, highFrequencyFactor: 4 } as const;
const LLAMA3_CONTEXT_TOKENS = 8192;
/** Of a factor, between what Meta's converter computed and what is computed here. */
const FACTOR_TOLERANCE = 1e-5;

/** The model that the file describes. Throws CheckpointError where it is none that Aha has, with the key's name. */
export async function importedConfig(file: GgufFile): Promise<ModelConfig> {
  const keys = new Keys(file);
  const family = familyOf(keys);
  const own = (key: string) => `${family.gguf!.name}.${key}`;
  const rules = family.gguf!.layers;
  for (const [key, inert] of Object.entries(INERT_KEYS)) {
    if (rules?.keys.includes(key)) continue;
    const value = file.metadata.get(own(key));
    if (value !== undefined && !inert.includes(value)) keys.refuse(own(key), "is not supported");
  }
  const embedding = file.tensors.get("token_embd.weight");
  if (embedding === undefined)
    throw new CheckpointError(`${file.path} has no tensor token_embd.weight, so it is no model.`);
  const hiddenSize = keys.count(own("embedding_length"));
  const numHeads = keys.count(own("attention.head_count"));
  const numKvHeads = keys.count(own("attention.head_count_kv"), numHeads);
  const headDim = keys.count(own("attention.key_length"), hiddenSize / numHeads);
  if (!Number.isInteger(headDim) || headDim % 2 !== 0)
    keys.refuse(own("attention.key_length"), "must be an even number");
  if (numHeads % numKvHeads !== 0) keys.refuse(own("attention.head_count_kv"), `must divide ${numHeads} heads`);
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    if (keys.count(own(key), headDim) !== headDim) keys.refuse(own(key), `must be the width of a head, ${headDim}`);
  }
  const has = (tensor: string) => file.tensors.has(tensor);
  const switches = decoderSwitches(family.name, {
    attention_bias: has("blk.0.attn_q.bias") && has("blk.0.attn_output.bias"),
    mlp_bias: has("blk.0.ffn_gate.bias"),
  });
  const id = (name: string) => keys.optionalId(`tokenizer.ggml.${name}_token_id`, embedding.shape[0]!);
  const ends = [id("eos"), id("eot"), id("eom"), ...endsByText(file)].filter((end) => end !== null);
  const numLayers = keys.count(own("block_count"));
  const layerKeys: GgufKeys = {
    count: (key, fallback) => keys.count(own(key), fallback),
    real: (key, fallback) => keys.real(own(key), fallback),
  };
  const config: ModelConfig = {
    ...PLAIN_DECODER,
    architecture: family.name,
    vocabSize: embedding.shape[0]!,
    hiddenSize,
    intermediateSize: keys.count(own("feed_forward_length")),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    maxContextTokens: keys.count(own("context_length")),
    rmsNormEpsilon: keys.real(own("attention.layer_norm_rms_epsilon")),
    ropeTheta: keys.real(own("rope.freq_base"), 10_000),
    ropeScaling: null,
    tieWordEmbeddings: !has("output.weight"),
    ...switches,
    ...rules?.read(layerKeys, { numLayers, headDim, numHeads, hiddenSize }),
    bosTokenId: id("bos"),
    eosTokenIds: [...new Set(ends)],
    padTokenId: id("padding"),
    generationDefaults: samplingDefaults(keys),
  };
  return { ...config, ropeScaling: await ropeScalingOf(keys, config) };
}

/** Control tokens that llama.cpp stops at by their text alone. */
function endsByText({ metadata }: GgufFile): number[] {
  const [texts, types] = [metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")];
  if (!Array.isArray(texts) || !Array.isArray(types)) return [];
  const isEnd = (text: MetadataValue, id: number) =>
    typeof text === "string" && types[id] === TOKEN_TYPES.control && ENDS_BY_TEXT.has(text);
  return texts.flatMap((text: MetadataValue, id) => (isEnd(text, id) ? [id] : []));
}

/** The family that llama.cpp knows by the file's architecture. */
function familyOf(keys: Keys): ModelFamily {
  const name = keys.text("general.architecture");
  const known = families.all.flatMap((family) =>
    family.gguf === undefined ? [] : [[family.gguf.name, family] as const],
  );
  const found = known.find(([architecture]) => architecture === name);
  if (found !== undefined) return found[1];
  const names = known.map(([architecture]) => architecture).join(", ");
  return keys.refuse("general.architecture", `is none that Aha computes (${names})`);
}

/** The scaling of RoPE by its keys, or by the tensor of factors. */
async function ropeScalingOf(keys: Keys, config: ModelConfig): Promise<RopeScaling | null> {
  const { file } = keys;
  const own = (key: string) => `${ggufArchitecture(config.architecture).name}.rope.${key}`;
  const type = keys.text(own("scaling.type"), "none");
  if (file.tensors.has(ROPE_FACTORS)) return llama3Scaling(keys, config);
  // Files of old converters have a linear factor under a key of its own.
  const oldFactor = keys.real(own("scale_linear"), 1);
  if (type === "none" || type === "") return oldFactor === 1 ? null : { type: "linear", factor: oldFactor };
  if (type !== "linear" && type !== "yarn") {
    return keys.refuse(own("scaling.type"), "is none that Aha computes (linear, yarn)");
  }
  const factor = keys.real(own("scaling.factor"));
  if (type === "linear") return { type, factor };
  const yarn = {
    type: "yarn",
    factor,
    originalContextTokens: keys.count(own("scaling.original_context_length"), config.maxContextTokens),
    attentionFactor: 1,
    betaFast: 32,
    betaSlow: 1,
    truncate: true,
  } as const;
  return { ...yarn, attentionFactor: keys.real(own("scaling.attn_factor"), 1) * yarnAttentionFactor(yarn) };
}

/** Llama 3's scaling whose factors the file has. */
async function llama3Scaling(keys: Keys, config: ModelConfig): Promise<RopeScaling> {
  const { file } = keys;
  const half = config.headDim / 2;
  if (file.tensors.get(ROPE_FACTORS)!.shape.join() === String(half)) {
    const factors = new Float32Array(half);
    await file.readElements(ROPE_FACTORS, 0, factors);
    const plain = rotaryFrequencies(config).frequencies;
    const ropeScaling = llama3Of(factors, plain);
    const scaled = rotaryFrequencies({ ...config, ropeScaling }).frequencies;
    const isIt = factors.every((factor, i) => Math.abs((factor * scaled[i]!) / plain[i]! - 1) < FACTOR_TOLERANCE);
    if (isIt) return ropeScaling;
  }
  throw new CheckpointError(
    `${file.path}: the factors of RoPE in ${ROPE_FACTORS} are not those of a scaling of Llama 3's kind, and config.json ` +
      "cannot say factors. Take this model in the Hugging Face layout.",
  );
}

/**
 * The scaling of Llama 3's kind that would have these factors, by one of them between the bounds, whose wavelength λ says
 * how many positions C there were in pretraining: 1/f = (1 − s)/F + s with s = (C/λ − low)/(high − low).
 */
function llama3Of(factors: Float32Array, frequencies: Float32Array): RopeScaling {
  const factor = shortest(factors.at(-1)!);
  const { lowFrequencyFactor: low, highFrequencyFactor: high } = LLAMA3_BOUNDS;
  const between = factors.findIndex((one) => one > 1 && one < factor);
  let originalContextTokens = LLAMA3_CONTEXT_TOKENS;
  if (between >= 0) {
    const smooth = (1 / factors[between]! - 1 / factor) / (1 - 1 / factor);
    const wavelength = (2 * Math.PI) / frequencies[between]!;
    originalContextTokens = Math.round(wavelength * (smooth * (high - low) + low));
  }
  return { type: "llama3", factor, ...LLAMA3_BOUNDS, originalContextTokens };
}

/** How to sample by default, as generation_config.json has it. */
function samplingDefaults(keys: Keys): Readonly<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const [from, to] of [
    ["top_k", "top_k"],
    ["top_p", "top_p"],
    ["min_p", "min_p"],
    ["temp", "temperature"],
    ["penalty_repeat", "repetition_penalty"],
  ] as const) {
    const value = keys.file.metadata.get(`general.sampling.${from}`);
    if (typeof value === "number") found[to] = shortest(value);
  }
  return Object.keys(found).length > 0 ? { do_sample: true, ...found } : {};
}

/** Metadata by key, with errors that name the key. */
class Keys {
  readonly file: GgufFile;

  constructor(file: GgufFile) {
    this.file = file;
  }

  /** Throws CheckpointError with the key, its value, and why the value is not supported. */
  refuse(key: string, why: string): never {
    const value = this.file.metadata.get(key);
    const shown = value === undefined ? "is missing" : `= ${String(value).slice(0, 80)} ${why}`;
    throw new CheckpointError(`${this.file.path}: ${key} ${shown}.`);
  }

  text(key: string, fallback?: string): string {
    const value = this.file.metadata.get(key) ?? fallback;
    return typeof value === "string" ? value : this.refuse(key, "is no text");
  }

  /** A whole number above 0; llama.cpp allows some per layer, which Aha's models do not have. */
  count(key: string, fallback?: number): number {
    const value = this.file.metadata.get(key) ?? fallback;
    if (Array.isArray(value)) {
      const first: unknown = value[0];
      const same = typeof first === "number" && value.every((one) => one === first);
      return same ? first : this.refuse(key, "differs from layer to layer, which is not supported");
    }
    const whole = typeof value === "number" && Number.isInteger(value) && value > 0;
    return whole ? value : this.refuse(key, "is no whole number above 0");
  }

  real(key: string, fallback?: number): number {
    const value = this.file.metadata.get(key) ?? fallback;
    const usable = typeof value === "number" && Number.isFinite(value) && value > 0;
    return usable ? shortest(value) : this.refuse(key, "is no number above 0");
  }

  optionalId(key: string, vocabSize: number): number | null {
    const value = this.file.metadata.get(key);
    if (value === undefined) return null;
    const inside = typeof value === "number" && Number.isInteger(value) && value >= 0 && value < vocabSize;
    return inside ? value : this.refuse(key, `is no id of a vocabulary of ${vocabSize} tokens`);
  }
}

/** The shortest decimal number that is the same f32: the file has 0.000009999999747378752 where config.json had 1e-5. */
function shortest(value: number): number {
  const target = Math.fround(value);
  for (let digits = 1; digits < 10; digits++) {
    const rounded = Number(target.toPrecision(digits));
    if (Math.fround(rounded) === target) return rounded;
  }
  return value;
}
