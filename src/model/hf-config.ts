/**
 * Hugging Face's `config.json`: read into a `ModelConfig`, and written back so that transformers loads it.
 *
 * A checkpoint's numbers depend on its config, so nothing that changes them is passed over: a key whose value asks for
 * something the decoder does not do (scaled RoPE, sliding windows, another activation, quantised weights …) is refused
 * by name. Keys that change no numbers, of which there are many and which differ by version, are ignored. Where a key is
 * absent its value is transformers' default for that architecture, which is not always the obvious one: `head_dim` of
 * Qwen3 is 128, whatever the hidden size.
 *
 * Both spellings of RoPE are read: `rope_theta` with `rope_scaling` (transformers 4) and `rope_parameters`
 * (transformers 5). The new one is written.
 */

import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, nearestName } from "../errors.ts";
import { parseJson, readTextFileIfPresent } from "../files.ts";
import type { Architecture, ModelConfig } from "./model-config.ts";

const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** What one architecture switches on: the only place that knows architectures by name. */
interface Family {
  /** `architectures[0]`: the class that transformers loads. */
  readonly className: string;
  readonly qkNorm: boolean;
  /** Biases on the query, key and value projections alone. */
  readonly attentionBias: boolean;
  readonly defaultHeadDim: (hiddenSize: number, numHeads: number) => number;
}

const FAMILIES: Readonly<Record<Architecture, Family>> = {
  qwen2: { className: "Qwen2ForCausalLM", qkNorm: false, attentionBias: true, defaultHeadDim: evenShare },
  qwen3: { className: "Qwen3ForCausalLM", qkNorm: true, attentionBias: false, defaultHeadDim: () => 128 },
};

/** The head size of models whose heads share the hidden size. */
function evenShare(hiddenSize: number, numHeads: number): number {
  return Math.floor(hiddenSize / numHeads);
}

const ROPE_THETA_DEFAULT = 10_000;

// Generous bounds: they refuse a damaged or hostile file before anything is allocated for it.
const size = (most: number) => z.int().min(1).max(most);
const tokenId = z.int().nonnegative();
const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().optional(),
});

const configSchema = z.looseObject({
  model_type: z.string().optional(),
  architectures: z.array(z.string()).nullish(),
  vocab_size: size(2 ** 22),
  hidden_size: size(2 ** 17),
  intermediate_size: size(2 ** 19),
  num_hidden_layers: size(1024),
  num_attention_heads: size(4096),
  num_key_value_heads: size(4096).nullish(),
  head_dim: size(4096).nullish(),
  max_position_embeddings: size(2 ** 26).default(32_768),
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.string().default("silu"),
  use_sliding_window: z.boolean().nullish(),
  sliding_window: z.number().nullish(),
  max_window_layers: z.number().default(28),
  layer_types: z.array(z.string()).nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  pad_token_id: tokenId.nullish(),
});

type HfConfig = z.infer<typeof configSchema>;

/**
 * Keys that change a model's numbers, with the values under which they do not. A key that is absent is inert.
 * `attention_bias` of Qwen3 would also put a bias on the output projection, which the decoder does not have.
 */
const INERT_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ["silu"],
  attention_bias: [false, null],
  mlp_bias: [false, null],
  attention_dropout: [0, null],
  partial_rotary_factor: [1, null],
  quantization_config: [null],
  logit_scale: [1, null],
  final_logit_softcapping: [null],
  attn_logit_softcapping: [null],
  num_experts: [0, null],
  num_local_experts: [0, null],
};

/**
 * The model that a directory's `config.json` describes. Stop tokens are those of `generation_config.json` too, where it
 * is there: that is where chat models name their end of turn. Throws CheckpointError.
 */
export async function readModelConfig(directory: string): Promise<ModelConfig> {
  const limit = { maxBytes: MAX_CONFIG_BYTES, error: CheckpointError };
  const path = join(directory, "config.json");
  const text = await readTextFileIfPresent(path, limit);
  if (text === undefined) {
    throw new CheckpointError(
      `${directory} has no config.json. Expected a model directory in the Hugging Face layout.`,
    );
  }
  const config = parseModelConfig(text, path);
  const generationPath = join(directory, "generation_config.json");
  const generation = await readTextFileIfPresent(generationPath, limit);
  if (generation === undefined) return config;
  const { eos_token_id } = check(configSchema.pick({ eos_token_id: true }), generation, generationPath);
  const eosTokenIds = [...new Set([...config.eosTokenIds, ...idList(eos_token_id)])];
  checkTokenIds(eosTokenIds, config.vocabSize, `${generationPath}: eos_token_id`);
  return { ...config, eosTokenIds };
}

/** The model that the text of a `config.json` describes; `where` names the file in messages. Throws CheckpointError. */
export function parseModelConfig(text: string, where: string): ModelConfig {
  const hf = check(configSchema, text, where);
  const architecture = architectureOf(hf, where);
  const family = FAMILIES[architecture];
  refuseUnsupported(hf, where);

  const numHeads = hf.num_attention_heads;
  const numKvHeads = hf.num_key_value_heads ?? numHeads;
  if (numHeads % numKvHeads !== 0) {
    throw new CheckpointError(
      `${where}: num_attention_heads (${numHeads}) is not a multiple of num_key_value_heads (${numKvHeads}).`,
    );
  }
  const headDim = hf.head_dim ?? family.defaultHeadDim(hf.hidden_size, numHeads);
  if (headDim % 2 !== 0) {
    throw new CheckpointError(`${where}: head_dim is ${headDim}; it must be even, since RoPE turns pairs of numbers.`);
  }
  const eosTokenIds = idList(hf.eos_token_id);
  checkTokenIds(eosTokenIds, hf.vocab_size, `${where}: eos_token_id`);
  checkTokenIds(idList(hf.pad_token_id), hf.vocab_size, `${where}: pad_token_id`);
  return {
    architecture,
    vocabSize: hf.vocab_size,
    hiddenSize: hf.hidden_size,
    intermediateSize: hf.intermediate_size,
    numLayers: hf.num_hidden_layers,
    numHeads,
    numKvHeads,
    headDim,
    maxContextTokens: hf.max_position_embeddings,
    rmsNormEpsilon: hf.rms_norm_eps,
    ropeTheta: ropeThetaOf(hf, where),
    tieWordEmbeddings: hf.tie_word_embeddings,
    attentionBias: family.attentionBias,
    qkNorm: family.qkNorm,
    bosTokenId: hf.bos_token_id ?? null,
    eosTokenIds,
    padTokenId: hf.pad_token_id ?? null,
  };
}

/** What an architecture's name alone decides. */
export function familyTraits(architecture: Architecture): Pick<ModelConfig, "qkNorm" | "attentionBias"> {
  const { qkNorm, attentionBias } = FAMILIES[architecture];
  return { qkNorm, attentionBias };
}

/**
 * The content of `config.json`: transformers 5 loads it as a float32 model with these numbers. Throws CheckpointError for
 * a model that its architecture's name would not describe.
 */
export function hfConfigOf(config: ModelConfig): Record<string, unknown> {
  const traits = familyTraits(config.architecture);
  if (config.qkNorm !== traits.qkNorm || config.attentionBias !== traits.attentionBias) {
    const found = `qkNorm ${config.qkNorm} and attentionBias ${config.attentionBias}`;
    const expected = `qkNorm ${traits.qkNorm} and attentionBias ${traits.attentionBias}`;
    throw new CheckpointError(`Cannot save: a ${config.architecture} has ${expected}, this model ${found}.`);
  }
  return {
    architectures: [FAMILIES[config.architecture].className],
    attention_bias: false,
    attention_dropout: 0,
    ...generationConfigOf(config),
    dtype: "float32",
    head_dim: config.headDim,
    hidden_act: "silu",
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxContextTokens,
    model_type: config.architecture,
    num_attention_heads: config.numHeads,
    num_hidden_layers: config.numLayers,
    num_key_value_heads: config.numKvHeads,
    rms_norm_eps: config.rmsNormEpsilon,
    rope_parameters: { rope_theta: config.ropeTheta, rope_type: "default" },
    tie_word_embeddings: config.tieWordEmbeddings,
    torch_dtype: "float32", // the name of dtype before transformers 4.56
    use_sliding_window: false,
    vocab_size: config.vocabSize,
  };
}

/** The content of `generation_config.json`: the special tokens of generation. */
export function generationConfigOf(config: ModelConfig): Record<string, unknown> {
  const [first, ...others] = config.eosTokenIds;
  return {
    bos_token_id: config.bosTokenId,
    eos_token_id: others.length > 0 ? config.eosTokenIds : (first ?? null),
    pad_token_id: config.padTokenId,
  };
}

function architectureOf(hf: HfConfig, where: string): Architecture {
  const known = Object.keys(FAMILIES) as Architecture[];
  const className = hf.architectures?.[0];
  const found = known.find(
    (name) => name === hf.model_type && (className ?? FAMILIES[name].className) === FAMILIES[name].className,
  );
  if (found !== undefined) return found;
  const given = `model_type ${JSON.stringify(hf.model_type ?? null)}, architectures ${JSON.stringify(hf.architectures ?? null)}`;
  const expected = known.map((name) => `${JSON.stringify(name)} with ${FAMILIES[name].className}`).join(" or ");
  const near = nearestName(hf.model_type ?? "", known);
  const hint = near !== undefined && near !== hf.model_type ? ` Did you mean ${JSON.stringify(near)}?` : "";
  throw new CheckpointError(`${where}: expected model_type ${expected}; found ${given}.${hint}`);
}

function refuseUnsupported(hf: HfConfig, where: string): void {
  for (const [key, inert] of Object.entries(INERT_VALUES)) {
    const value = hf[key];
    if (value === undefined || inert.includes(value)) continue;
    const shown = JSON.stringify(value).slice(0, 80);
    throw new CheckpointError(`${where}: ${key} = ${shown} is not supported; only ${JSON.stringify(inert[0])} is.`);
  }
  const windowed = hf.layer_types?.find((type) => type !== "full_attention");
  if (windowed !== undefined) {
    throw new CheckpointError(
      `${where}: layer_types has ${JSON.stringify(windowed)}; only "full_attention" is supported.`,
    );
  }
  if (hf.layer_types && hf.layer_types.length !== hf.num_hidden_layers) {
    throw new CheckpointError(
      `${where}: layer_types has ${hf.layer_types.length} entries for num_hidden_layers = ${hf.num_hidden_layers}.`,
    );
  }
  const windowSize = hf.use_sliding_window === true ? hf.sliding_window : null;
  if (typeof windowSize === "number" && !hf.layer_types && hf.max_window_layers < hf.num_hidden_layers) {
    throw new CheckpointError(
      `${where}: use_sliding_window is true and layers from ${hf.max_window_layers} on would use a window of ` +
        `${windowSize} tokens; sliding windows are not supported.`,
    );
  }
}

function ropeThetaOf(hf: HfConfig, where: string): number {
  for (const key of ["rope_scaling", "rope_parameters"] as const) {
    const rope = hf[key];
    if (!rope) continue;
    const type = rope.rope_type ?? rope.type ?? "default";
    if (type !== "default") {
      throw new CheckpointError(
        `${where}: ${key} of type ${JSON.stringify(type)} is not supported; only "default" is.`,
      );
    }
    if (rope.partial_rotary_factor !== undefined && rope.partial_rotary_factor !== 1) {
      throw new CheckpointError(
        `${where}: ${key}.partial_rotary_factor = ${rope.partial_rotary_factor} is not supported.`,
      );
    }
    if ("full_attention" in rope) {
      throw new CheckpointError(`${where}: ${key} by layer type is not supported; expected {rope_type, rope_theta}.`);
    }
  }
  const newStyle = hf.rope_parameters?.rope_theta;
  const oldStyle = hf.rope_theta ?? undefined;
  if (newStyle !== undefined && oldStyle !== undefined && newStyle !== oldStyle) {
    throw new CheckpointError(`${where}: rope_theta is ${oldStyle}, but rope_parameters.rope_theta is ${newStyle}.`);
  }
  return newStyle ?? oldStyle ?? ROPE_THETA_DEFAULT;
}

function idList(ids: number | readonly number[] | null | undefined): number[] {
  if (ids === null || ids === undefined) return [];
  return typeof ids === "number" ? [ids] : [...ids];
}

function checkTokenIds(ids: readonly number[], vocabSize: number, where: string): void {
  const outside = ids.find((id) => id >= vocabSize);
  if (outside !== undefined) {
    throw new CheckpointError(`${where} is ${outside}, outside of the vocabulary of ${vocabSize} tokens.`);
  }
}

function check<T>(schema: z.ZodType<T>, text: string, where: string): T {
  const result = schema.safeParse(parseJson(text, where, CheckpointError));
  if (result.success) return result.data;
  const reasons = result.error.issues
    .slice(0, 4)
    .map(({ path, message }) => `${path.join(".") || "the top"}: ${message}`);
  throw new CheckpointError(`${where} is not a model's config: ${reasons.join("; ")}.`);
}
