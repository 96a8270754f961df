/** /tokenizer_info: tokenizer_config.json of the served model, as vLLM gives it, with its chat template. */

import { mergedConfig, templatesOf } from "../tokenizer/tokenizer-config.ts";
import { ApiError } from "./api-error.ts";
import type { ServedModel } from "./served-model.ts";

/** Throws ApiError 404 where the model's tokenizer has no files. */
export function tokenizerInfo({ tokenizerFiles }: ServedModel): object {
  if (tokenizerFiles === undefined) {
    throw new ApiError(404, "The served model has no tokenizer_config.json.", { code: "not_found" });
  }
  const source = "the served model";
  const config = mergedConfig(tokenizerFiles, source);
  const named = ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => [name, textOf(config[name])]);
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...config,
    ...Object.fromEntries(named),
    chat_template: templatesOf(tokenizerFiles, config, source).get("default") ?? null,
  };
}

/** Special tokens may be written as objects. */
function textOf(token: unknown): unknown {
  const content = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return content ?? null;
}
