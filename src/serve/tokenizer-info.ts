/** /tokenizer_info: tokenizer_config.json of the served model, as vLLM gives it, with its chat template. */

import { mergedConfig } from "../tokenizer/huggingface.ts";
import { ApiError } from "./api-error.ts";
import type { ServedModel } from "./served-model.ts";

/** Throws ApiError 404 where the model's tokenizer has no files. */
export function tokenizerInfo({ tokenizerFiles }: ServedModel): object {
  if (tokenizerFiles === undefined) {
    throw new ApiError(404, "The served model has no tokenizer_config.json.", { code: "not_found" });
  }
  const config: Record<string, unknown> = mergedConfig(tokenizerFiles, "the served model");
  const template = tokenizerFiles["chat_template.jinja"] ?? defaultTemplate(config.chat_template);
  const named = ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => [name, textOf(config[name])]);
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...config,
    ...Object.fromEntries(named),
    chat_template: template,
  };
}

/** Special tokens may be written as objects. */
function textOf(token: unknown): unknown {
  const content = typeof token === "object" && token !== null && "content" in token ? token.content : token;
  return content ?? null;
}

/** A config may have several templates by name. */
function defaultTemplate(field: unknown): unknown {
  if (!Array.isArray(field)) return field ?? null;
  return (field as { name: string; template: string }[]).find(({ name }) => name === "default")?.template ?? null;
}
