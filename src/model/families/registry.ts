/** The families of models whose checkpoints are read and written, by name. A new one is a file beside this and a line below. */

import { CheckpointError } from "../../errors.ts";
import { Registry } from "../../registry.ts";
import type { DecoderSwitches, GgufArchitecture, ModelFamily, SwitchKeys } from "./family.ts";
import { llama } from "./llama.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

/** Every family of models. */
export const families = new Registry<ModelFamily>("model family", [llama, qwen2, qwen3]);

/** The family of new models where a recipe names none. */
export const DEFAULT_FAMILY: string = qwen3.name;

/** What a family's name decides, and what it has under keys of its config that ask for biases. */
export function decoderSwitches(family: string, keys: Partial<SwitchKeys> = {}): DecoderSwitches {
  return families.get(family).switches({ attention_bias: false, mlp_bias: false, ...keys });
}

/** What llama.cpp has for a family. Throws CheckpointError where it has nothing. */
export function ggufArchitecture(family: string): GgufArchitecture {
  const { gguf } = families.get(family);
  if (gguf !== undefined) return gguf;
  throw new CheckpointError(`This model cannot be written to GGUF: llama.cpp has no architecture for ${family}.`);
}
