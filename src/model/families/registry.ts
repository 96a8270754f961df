/** The families of models whose checkpoints are read and written, by name. A new one is a file beside this and a line below. */

import { CheckpointError } from "../../errors.ts";
import { Registry } from "../../registry.ts";
import { type ModelConfig, PLAIN_DECODER } from "../model-config.ts";
import type { DecoderSwitches, GgufArchitecture, LayerSwitches, ModelFamily, SwitchKeys } from "./family.ts";
import { gemma3Text } from "./gemma3-text.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";

/** Every family of models. */
export const families = new Registry<ModelFamily>("model family", [llama, mistral, qwen2, qwen3, smollm3, gemma3Text]);

/** The family of new models where a recipe names none. */
export const DEFAULT_FAMILY: string = qwen3.name;

/** What a family's name decides, and what it has under keys of its config that ask for biases. */
export function decoderSwitches(family: string, keys: Partial<SwitchKeys> = {}): DecoderSwitches {
  const { activation, offsetNorms, postNorms, scalesEmbedding } = PLAIN_DECODER;
  const own = families.get(family).switches({ attention_bias: false, mlp_bias: false, ...keys });
  return { activation, offsetNorms, postNorms, scalesEmbedding, ...own };
}

/** The layers of a new model of a family, whose RoPE of local layers, where it has some, is as published. */
export function newModelLayers(
  family: string,
  { numLayers, headDim }: Pick<ModelConfig, "numLayers" | "headDim">,
): LayerSwitches & Pick<ModelConfig, "localRope"> {
  const { layers, defaultLocalRopeTheta } = families.get(family);
  if (layers === undefined) return { ...PLAIN_LAYERS, localRope: null };
  const keys = { num_hidden_layers: numLayers, head_dim: headDim, query_pre_attn_scalar: headDim };
  const localRope =
    defaultLocalRopeTheta === undefined ? null : { ropeTheta: defaultLocalRopeTheta, ropeScaling: null };
  return { ...layers.read({ ...keys, ...layers.ofNewModels }, `a new ${family}`), localRope };
}

const PLAIN_LAYERS: LayerSwitches = { slidingWindow: null, layers: [], queryPreAttnScalar: null };

/** What llama.cpp has for a family. Throws CheckpointError where it has nothing. */
export function ggufArchitecture(family: string): GgufArchitecture {
  const { gguf } = families.get(family);
  if (gguf !== undefined) return gguf;
  throw new CheckpointError(`This model cannot be written to GGUF: llama.cpp has no architecture for ${family}.`);
}
