/**
 * Hugging Face's `config.json`: read into a `ModelConfig`, and written back so that transformers loads it.
 *
 * A checkpoint's numbers depend on its config, so nothing that changes them is passed over: a key whose value asks for
 * something the decoder does not do (another activation, soft-capping, experts …) is refused by name. Keys
 * that change no numbers, of which there are many and which differ by version, are ignored. Where a key is absent its
 * value is transformers' default for that family (`families/`), which is not always the obvious one: `head_dim` of Qwen3 is
 * 128, whatever the hidden size. How positions are encoded is read and written by `hf-rope.ts`; how layers differ, by
 * their family.
 */

import { z } from "zod";
import { CheckpointError, nearestName } from "../errors.ts";
import type { Folder } from "../folder.ts";
import { parseJson } from "../json-text.ts";
import { checkQuantizationConfig } from "./bitsandbytes.ts";
import type { LayerSwitches, ModelFamily } from "./families/family.ts";
import { decoderSwitches, families } from "./families/registry.ts";
import { hfRopeOf, ropeConfigShape, ropesOf } from "./hf-rope.ts";
import {
  type GateActivation,
  layerKind,
  type ModelConfig,
  type ModelHead,
  PLAIN_DECODER,
  someLayer,
} from "./model-config.ts";

const CONFIG_FILE = "config.json";
const GENERATION_FILE = "generation_config.json";
const CONFIG_LIMIT = { maxBytes: 4 * 2 ** 20, error: CheckpointError };

/** Ends of transformers' class names, and what it calls the only label of a model that has one. */
const TOKENS_CLASS = "ForCausalLM";
const SCORE_CLASS = "ForSequenceClassification";
const SCORE_LABEL = "LABEL_0";

// Generous bounds: they refuse a damaged or hostile file before anything is allocated for it.
const size = (most: number) => z.int().min(1).max(most);
// −1 stands for no token, as in Llama 2's pad_token_id.
const tokenId = z
  .int()
  .min(-1)
  .transform((id) => (id < 0 ? null : id));
const eosTokenIds = z.union([tokenId, z.array(tokenId)]).nullish();

const architectureSchema = z.looseObject({
  model_type: z.string().optional(),
  architectures: z.array(z.string()).nullish(),
});

const configSchema = z.looseObject({
  ...architectureSchema.shape,
  vocab_size: size(2 ** 22),
  hidden_size: size(2 ** 17),
  intermediate_size: size(2 ** 19),
  num_hidden_layers: size(1024),
  num_attention_heads: size(4096),
  num_key_value_heads: size(4096).nullish(),
  head_dim: size(4096).nullish(),
  max_position_embeddings: size(2 ** 26).nullish(),
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  ...ropeConfigShape,
  tie_word_embeddings: z.boolean().nullish(),
  use_sliding_window: z.boolean().nullish(),
  sliding_window: z.int().nullish(),
  sliding_window_pattern: size(1024).nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string()).nullish(),
  no_rope_layers: z.array(z.int().min(0).max(1)).nullish(),
  no_rope_layer_interval: size(1024).nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: eosTokenIds,
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  pad_token_id: tokenId.nullish(),
});

type HfConfig = z.infer<typeof configSchema>;

/** `generation_config.json`; the keys that are not special tokens are kept as they are. */
const generationSchema = z.looseObject({
  bos_token_id: tokenId.nullish(),
  eos_token_id: eosTokenIds,
  pad_token_id: tokenId.nullish(),
});

/** Keys that change a model's numbers, with the values under which they do not. A key that is absent is inert. */
const INERT_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  attention_dropout: [0, null],
  partial_rotary_factor: [1, null],
  logit_scale: [1, null],
  final_logit_softcapping: [null],
  attn_logit_softcapping: [null],
  num_experts: [0, null],
  num_local_experts: [0, null],
  use_bidirectional_attention: [false, null],
};

/** transformers' names of the functions of the MLP's gate; the first is the one that is written. */
const ACTIVATION_NAMES: Readonly<Record<GateActivation, string>> = { silu: "silu", gelu_tanh: "gelu_pytorch_tanh" };

/**
 * The model that a folder's `config.json` describes. Stop tokens are those of `generation_config.json` too, where it
 * is there: that is where chat models name their end of turn. Throws CheckpointError.
 */
export async function readModelConfig(folder: Folder, head: ModelHead = "tokens"): Promise<ModelConfig> {
  const { text, path } = await readConfigFile(folder);
  const config = parseModelConfig(text, path, head);
  const generationPath = folder.pathOf(GENERATION_FILE);
  const generation = await folder.readText(GENERATION_FILE, CONFIG_LIMIT);
  if (generation === undefined) return config;
  const { bos_token_id, eos_token_id, pad_token_id, ...others } = check(generationSchema, generation, generationPath);
  const ids = [...new Set([...config.eosTokenIds, ...idList(eos_token_id)])];
  checkTokenIds(ids, config.vocabSize, `${generationPath}: eos_token_id`);
  checkTokenIds(idList(pad_token_id), config.vocabSize, `${generationPath}: pad_token_id`);
  // Two keys are about how the file came to be, not about generation.
  const { transformers_version: _version, _from_model_config: _source, ...generationDefaults } = others;
  return {
    ...config,
    bosTokenId: config.bosTokenId ?? bos_token_id ?? null,
    eosTokenIds: ids,
    padTokenId: config.padTokenId ?? pad_token_id ?? null,
    generationDefaults,
  };
}

/** What stands on the decoder of the model in a folder, by the class that its `config.json` names. Throws CheckpointError. */
export async function storedHead(folder: Folder): Promise<ModelHead> {
  const { text, path } = await readConfigFile(folder);
  const [className] = check(architectureSchema, text, path).architectures ?? [];
  return className?.endsWith(SCORE_CLASS) === true ? "score" : "tokens";
}

async function readConfigFile(folder: Folder) {
  const text = await folder.readText(CONFIG_FILE, CONFIG_LIMIT);
  if (text !== undefined) return { text, path: folder.pathOf(CONFIG_FILE) };
  const meant = await likelyMeant(folder);
  throw new CheckpointError(
    `${folder.path} has no ${CONFIG_FILE}. Expected a model directory in the Hugging Face layout.${meant}`,
  );
}

/** What a folder without config.json is, where that can be told, and what to do then. */
async function likelyMeant(folder: Folder): Promise<string> {
  if ((await folder.names()).includes("adapter_config.json")) {
    return (
      " It is a LoRA adapter: a model needs its base too. Merge the two first (aha model merge BASE ADAPTER --out DIR); " +
      "in a recipe the base is model.path and this is model.adapter."
    );
  }
  const inside = folder.folder("model");
  return (await inside.names()).includes(CONFIG_FILE) ? ` The model of this run is ${inside.path}.` : "";
}

/** The model that the text of a `config.json` describes; `where` names the file in messages. Throws CheckpointError. */
export function parseModelConfig(text: string, where: string, head: ModelHead = "tokens"): ModelConfig {
  // The architecture first: the config of another one has other keys, and "hidden_size is missing" would not help.
  const family = familyOf(check(architectureSchema, text, where), where, head);
  const hf = check(configSchema, text, where);
  refuseUnsupported(hf, family, where);

  const numHeads = hf.num_attention_heads;
  const numKvHeads =
    (hf.num_key_value_heads === undefined ? family.defaultKvHeads : hf.num_key_value_heads) ?? numHeads;
  if (numHeads % numKvHeads !== 0) {
    throw new CheckpointError(
      `${where}: num_attention_heads (${numHeads}) is not a multiple of num_key_value_heads (${numKvHeads}).`,
    );
  }
  const headDim = hf.head_dim ?? family.defaultHeadDim(hf.hidden_size, numHeads);
  if (headDim % 2 !== 0) {
    throw new CheckpointError(`${where}: head_dim is ${headDim}; it must be even, since RoPE turns pairs of numbers.`);
  }
  const ids = idList(hf.eos_token_id);
  checkTokenIds(ids, hf.vocab_size, `${where}: eos_token_id`);
  checkTokenIds(idList(hf.pad_token_id), hf.vocab_size, `${where}: pad_token_id`);
  const maxContextTokens = hf.max_position_embeddings ?? family.defaultContextTokens;
  const switches = decoderSwitches(family.name, {
    attention_bias: hf.attention_bias ?? false,
    mlp_bias: hf.mlp_bias ?? false,
  });
  const activation = ACTIVATION_NAMES[switches.activation];
  const activationKey = family.activationKey ?? "hidden_act";
  if (hf[activationKey] !== undefined && hf[activationKey] !== activation) {
    throw new CheckpointError(
      `${where}: ${activationKey} = ${JSON.stringify(hf[activationKey]).slice(0, 80)} is not supported; only ` +
        `${JSON.stringify(activation)} is.`,
    );
  }
  const layers = layersOf(hf, headDim, family, where);
  const { localRope, ...rope } = ropesOf({ ...hf, max_position_embeddings: maxContextTokens }, family, where);
  return {
    architecture: family.name,
    vocabSize: hf.vocab_size,
    hiddenSize: hf.hidden_size,
    intermediateSize: hf.intermediate_size,
    numLayers: hf.num_hidden_layers,
    numHeads,
    numKvHeads,
    headDim,
    maxContextTokens,
    rmsNormEpsilon: hf.rms_norm_eps,
    ...rope,
    tieWordEmbeddings: hf.tie_word_embeddings ?? family.tiesByDefault ?? false,
    ...switches,
    ...layers,
    localRope: someLayer({ ...layers, numLayers: hf.num_hidden_layers }, (kind) => kind.rope === "local")
      ? localRope
      : null,
    bosTokenId: hf.bos_token_id ?? null,
    eosTokenIds: ids,
    padTokenId: hf.pad_token_id ?? null,
    generationDefaults: {},
  };
}

/** Number formats in which weights are written, as `config.json` and torch name them. */
export const SAVE_DTYPES = ["float32", "bfloat16", "float16"] as const;
export type SaveDtype = (typeof SAVE_DTYPES)[number];

/**
 * The content of `config.json`: transformers loads it as a model of this dtype with these numbers. Throws
 * CheckpointError for a model that its architecture's name would not describe.
 */
export function hfConfigOf(
  config: ModelConfig,
  dtype: SaveDtype = "float32",
  head: ModelHead = "tokens",
): Record<string, unknown> {
  const family = families.get(config.architecture);
  const switches = decoderSwitches(family.name, { attention_bias: config.attentionBias, mlp_bias: config.mlpBias });
  for (const name of Object.keys(switches) as (keyof typeof switches)[]) {
    if (config[name] === switches[name]) continue;
    throw new CheckpointError(
      `Cannot save: a ${config.architecture} has ${name} ${switches[name]}, this model ${config[name]}.`,
    );
  }
  return {
    architectures: [classNameOf(family, head)],
    // Qwen2 has no such key: its biases are always there.
    attention_bias: config.attentionOutputBias,
    attention_dropout: 0,
    ...specialTokensOf(config),
    dtype,
    head_dim: config.headDim,
    [family.activationKey ?? "hidden_act"]: ACTIVATION_NAMES[config.activation],
    hidden_size: config.hiddenSize,
    // The number of labels is that of these names; without them it would be two.
    ...(head === "score" && { id2label: { 0: SCORE_LABEL }, label2id: { [SCORE_LABEL]: 0 } }),
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxContextTokens,
    ...(family.hasMlpBiasKey && { mlp_bias: config.mlpBias }),
    model_type: config.architecture,
    num_attention_heads: config.numHeads,
    num_hidden_layers: config.numLayers,
    num_key_value_heads: config.numKvHeads,
    rms_norm_eps: config.rmsNormEpsilon,
    ...hfRopeOf(config, family),
    tie_word_embeddings: config.tieWordEmbeddings,
    torch_dtype: dtype, // the name of dtype before transformers 4.56
    ...layerKeysOf(config, family),
    vocab_size: config.vocabSize,
  };
}

/** The content of `generation_config.json`: the special tokens of generation, and the defaults that were read. */
export function generationConfigOf(config: ModelConfig): Record<string, unknown> {
  return { ...specialTokensOf(config), ...config.generationDefaults };
}

function specialTokensOf(config: ModelConfig): Record<string, unknown> {
  const [first, ...others] = config.eosTokenIds;
  return {
    bos_token_id: config.bosTokenId,
    eos_token_id: others.length > 0 ? config.eosTokenIds : (first ?? null),
    pad_token_id: config.padTokenId,
  };
}

/** The class that transformers loads. */
function classNameOf({ className, scoreClassName }: ModelFamily, head: ModelHead): string {
  if (head === "tokens") return className;
  return scoreClassName ?? className.replace(TOKENS_CLASS, SCORE_CLASS);
}

/** How the layers differ, by the rules of the family; a family without rules has only plain ones. */
function layersOf(hf: HfConfig, headDim: number, family: ModelFamily, where: string): LayerSwitches {
  if (hf.layer_types && hf.layer_types.length !== hf.num_hidden_layers) {
    throw new CheckpointError(
      `${where}: layer_types has ${hf.layer_types.length} entries for num_hidden_layers = ${hf.num_hidden_layers}.`,
    );
  }
  if (family.layers) return family.layers.read({ ...hf, head_dim: headDim }, where);
  const other = hf.layer_types?.find((type) => type !== "full_attention");
  if (other !== undefined) {
    throw new CheckpointError(
      `${where}: layer_types has ${JSON.stringify(other)}; a ${family.name} has only "full_attention".`,
    );
  }
  if (hf.use_sliding_window === true && typeof hf.sliding_window === "number") {
    throw new CheckpointError(
      `${where}: use_sliding_window = true is not supported by ${family.className}; only false is. Sliding windows are ` +
        "supported in the families " +
        `${families.all.flatMap(({ name, layers }) => (layers ? [name] : [])).join(", ")}.`,
    );
  }
  return { slidingWindow: null, layers: [], queryPreAttnScalar: null };
}

/** The keys about layers. Throws CheckpointError for layers that the family's config cannot say. */
function layerKeysOf(config: ModelConfig, family: ModelFamily): Readonly<Record<string, unknown>> {
  const keys = family.layers?.write(config) ?? { use_sliding_window: false };
  const { numLayers, headDim } = config;
  const said = family.layers?.read({ ...keys, num_hidden_layers: numLayers, head_dim: headDim }, "config.json");
  const kinds = (layers: ModelConfig["layers"]) =>
    JSON.stringify(Array.from({ length: numLayers }, (_, layer) => layerKind({ layers }, layer)));
  const { slidingWindow, queryPreAttnScalar, layers } = said ?? PLAIN_DECODER;
  const lost = [
    ["slidingWindow", slidingWindow === config.slidingWindow],
    ["queryPreAttnScalar", queryPreAttnScalar === config.queryPreAttnScalar],
    ["layers", kinds(layers) === kinds(config.layers)],
    ["localRope", someLayer(config, ({ rope }) => rope === "local") === (config.localRope !== null)],
  ].find(([, isSame]) => !isSame);
  if (lost === undefined) return keys;
  throw new CheckpointError(`Cannot save: the config of a ${config.architecture} cannot say this model's ${lost[0]}.`);
}

function familyOf(hf: z.infer<typeof architectureSchema>, where: string, head: ModelHead): ModelFamily {
  const className = hf.architectures?.[0];
  const found = families.find(hf.model_type ?? "");
  if (found !== undefined && (className ?? classNameOf(found, head)) === classNameOf(found, head)) return found;
  if (head === "tokens" && className?.endsWith(SCORE_CLASS)) {
    throw new CheckpointError(
      `${where}: ${className} is a reward model: it scores texts and writes none. Give a language model (…${TOKENS_CLASS}) ` +
        "here; a reward model is for the reward reward_model and the trainer reward_model.",
    );
  }
  const given = `model_type ${JSON.stringify(hf.model_type ?? null)}, architectures ${JSON.stringify(hf.architectures ?? null)}`;
  const expected = families.all.map((one) => `${JSON.stringify(one.name)} with ${classNameOf(one, head)}`).join(" or ");
  const near = nearestName(hf.model_type ?? "", families.names);
  const hint = near !== undefined && near !== hf.model_type ? ` Did you mean ${JSON.stringify(near)}?` : "";
  throw new CheckpointError(`${where}: expected model_type ${expected}; found ${given}.${hint}`);
}

function refuseUnsupported(hf: HfConfig, family: ModelFamily, where: string): void {
  checkQuantizationConfig(hf.quantization_config, where);
  for (const [key, inert] of Object.entries(INERT_VALUES)) {
    const value = hf[key];
    if (value === undefined || inert.includes(value)) continue;
    const shown = JSON.stringify(value).slice(0, 80);
    throw new CheckpointError(`${where}: ${key} = ${shown} is not supported; only ${JSON.stringify(inert[0])} is.`);
  }
  if (hf.mlp_bias === true && !family.hasMlpBiasKey) {
    throw new CheckpointError(`${where}: mlp_bias = true is not supported by ${family.className}; only false is.`);
  }
}

function idList(ids: number | readonly (number | null)[] | null | undefined): number[] {
  if (ids === null || ids === undefined) return [];
  return typeof ids === "number" ? [ids] : ids.filter((id) => id !== null);
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
