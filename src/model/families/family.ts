/**
 * A family of models: checkpoints that one class of transformers loads. The decoder is one program for all of them and reads
 * switches (`model-config.ts`), never a family's name; a family says which switches its checkpoints have, by what name
 * transformers and llama.cpp know them, and what their config leaves unsaid. One file for each; `registry.ts` lists them.
 */

import type { GgufValue } from "../gguf/format.ts";
import type { ModelConfig } from "../model-config.ts";

/** What of a model's shape its family decides. */
export type DecoderSwitches = Pick<
  ModelConfig,
  | "qkNorm"
  | "attentionBias"
  | "attentionOutputBias"
  | "mlpBias"
  | "activation"
  | "offsetNorms"
  | "postNorms"
  | "scalesEmbedding"
>;

/** The switches that a family gives; those that it leaves out are those of `PLAIN_DECODER`. */
export type FamilySwitches = Pick<DecoderSwitches, "qkNorm" | "attentionBias" | "attentionOutputBias" | "mlpBias"> &
  Partial<DecoderSwitches>;

/** What of a model's layers and their attention its config says. */
export type LayerSwitches = Pick<ModelConfig, "slidingWindow" | "layers" | "queryPreAttnScalar">;

/** Keys of `config.json` about single layers and their attention. Null is as good as absent, unless the family differs. */
export interface LayerKeys {
  readonly num_hidden_layers: number;
  readonly head_dim: number;
  readonly use_sliding_window?: boolean | null | undefined;
  readonly sliding_window?: number | null | undefined;
  readonly max_window_layers?: number | null | undefined;
  readonly layer_types?: readonly string[] | null | undefined;
  readonly sliding_window_pattern?: number | null | undefined;
  readonly no_rope_layers?: readonly number[] | null | undefined;
  readonly no_rope_layer_interval?: number | null | undefined;
  readonly query_pre_attn_scalar?: number | null | undefined;
}

/** How a family's `config.json` tells layers apart. */
export interface LayerRules {
  /** `where` names the file in messages. @throws CheckpointError for keys that contradict each other. */
  read(keys: LayerKeys, where: string): LayerSwitches;
  /** The keys that `read` makes this model of, if any do; who calls it compares. */
  write(config: ModelConfig): Readonly<Record<string, unknown>>;
  /** Keys of a new model, beyond those that its number of layers decides. */
  readonly ofNewModels?: Partial<LayerKeys>;
}

/** Keys of `config.json` that ask for a switch. */
export interface SwitchKeys {
  readonly attention_bias: boolean;
  readonly mlp_bias: boolean;
}

/** What llama.cpp has under the name of an architecture. It compares a file with that, and knows no exceptions. */
export interface GgufArchitecture {
  /** `general.architecture`, and the prefix of its keys. */
  readonly name: string;
  /** RoPE turns neighbours (2i with 2i + 1), as in Meta's own checkpoints, not number i with number i + D/2. */
  readonly pairsNeighbours: boolean;
  /** It reads a tensor of factors by which RoPE's frequencies are divided. */
  readonly readsRopeFactors: boolean;
  /** It has biases of the attention's output and of the MLP. */
  readonly hasBiases: boolean;
  /** num_attention_heads · head_dim has to be hidden_size. */
  readonly sharesHiddenSize: boolean;
  /** What it has of layers that differ from each other; absent: nothing. */
  readonly layers?: GgufLayerRules;
}

/** What an architecture of llama.cpp does with layers that differ. */
export interface GgufLayerRules {
  /** The keys behind the architecture's name. @throws CheckpointError for a model that it does not compute. */
  write(config: ModelConfig): ReadonlyMap<string, GgufValue>;
  /** What `write` was given, of a file with these keys. @throws CheckpointError */
  read(keys: GgufKeys, shape: GgufShape): GgufLayers;
  /** The keys that `read` looks at, which other architectures refuse. */
  readonly keys: readonly string[];
}

/** A file's keys behind the name of its architecture, with errors that name them. */
export interface GgufKeys {
  /** A whole number above 0; `fallback` where the key is absent. */
  count(key: string, fallback?: number): number;
  /** A number above 0. */
  real(key: string, fallback?: number): number;
}

/** What a file says about its model's layers. */
export type GgufLayers = LayerSwitches & Pick<ModelConfig, "localRope">;

/** What a file says of the model's shape. */
export type GgufShape = Pick<ModelConfig, "numLayers" | "headDim" | "numHeads" | "hiddenSize">;

/** A family of models. */
export interface ModelFamily {
  /** `model_type` of its `config.json`; recipes and `ModelConfig.architecture` have the same name. */
  readonly name: string;
  /** The class that transformers loads for a language model, `*ForCausalLM`. */
  readonly className: string;
  /** The switches under these keys of the config. */
  switches(keys: SwitchKeys): FamilySwitches;
  /** Whether the key `mlp_bias` is one of its config. */
  readonly hasMlpBiasKey: boolean;
  /** transformers' default for an absent `head_dim`. */
  defaultHeadDim(hiddenSize: number, numHeads: number): number;
  /** The same for `num_key_value_heads`: as many as heads if undefined. A key that is null always means that. */
  readonly defaultKvHeads: number | undefined;
  /** The same for `max_position_embeddings`. */
  readonly defaultContextTokens: number;
  /** The same for `rope_theta`; 10,000 if absent. */
  readonly defaultRopeTheta?: number;
  /** The same for `tie_word_embeddings`; false if absent. */
  readonly tiesByDefault?: boolean;
  /** The key of the MLP's activation; `hidden_act` if absent. */
  readonly activationKey?: string;
  /** θ of its local layers where the config is silent; a family without local layers has none. */
  readonly defaultLocalRopeTheta?: number;
  /** The class with a score for a head, where its name does not follow from `className`. */
  readonly scoreClassName?: string;
  /** How its config tells layers apart; absent: all attend to everything, with one RoPE, and other keys are refused. */
  readonly layers?: LayerRules;
  /** llama.cpp has no such architecture where absent. */
  readonly gguf?: GgufArchitecture;
}

/** The head size of models whose heads share the hidden size. */
export function sharedHeadDim(hiddenSize: number, numHeads: number): number {
  return Math.floor(hiddenSize / numHeads);
}
