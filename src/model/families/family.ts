/**
 * A family of models: checkpoints that one class of transformers loads. The decoder is one program for all of them and reads
 * switches (`model-config.ts`), never a family's name; a family says which switches its checkpoints have, by what name
 * transformers and llama.cpp know them, and what their config leaves unsaid. One file for each; `registry.ts` lists them.
 */

import type { ModelConfig } from "../model-config.ts";

/** What of a model's shape its family decides. */
export type DecoderSwitches = Pick<ModelConfig, "qkNorm" | "attentionBias" | "attentionOutputBias" | "mlpBias">;

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
}

/** A family of models. */
export interface ModelFamily {
  /** `model_type` of its `config.json`; recipes and `ModelConfig.architecture` have the same name. */
  readonly name: string;
  /** The class that transformers loads for a language model, `*ForCausalLM`. */
  readonly className: string;
  /** The switches under these keys of the config. */
  switches(keys: SwitchKeys): DecoderSwitches;
  /** Whether the key `mlp_bias` is one of its config. */
  readonly hasMlpBiasKey: boolean;
  /** transformers' default for an absent `head_dim`. */
  defaultHeadDim(hiddenSize: number, numHeads: number): number;
  /** The same for `num_key_value_heads`: as many as heads if undefined. A key that is null always means that. */
  readonly defaultKvHeads: number | undefined;
  /** The same for `max_position_embeddings`. */
  readonly defaultContextTokens: number;
  /** llama.cpp has no such architecture where absent. */
  readonly gguf?: GgufArchitecture;
}

/** The head size of models whose heads share the hidden size. */
export function sharedHeadDim(hiddenSize: number, numHeads: number): number {
  return Math.floor(hiddenSize / numHeads);
}
