/**
 * The special tokens and chat templates of a checkpoint as GGUF keys.
 *
 * Which tokens end a generation llama.cpp decides by `eos_token_id`, `eot_token_id`, `eom_token_id` and, whatever the
 * file says, by a list of texts (`<|endoftext|>`, `<|im_end|>`, `<|eot_id|>` …). Stop tokens of generation_config.json
 * that are neither get the free keys.
 */

import { z } from "zod";
import type { mergedConfig } from "../../tokenizer/tokenizer-config.ts";
import type { TokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import type { ModelConfig } from "../model-config.ts";
import type { GgufValue } from "./format.ts";
import type { BpeTokenizer, VocabularyToken } from "./vocabulary.ts";

type TokenizerConfig = ReturnType<typeof mergedConfig>;

/** Texts of control tokens that llama.cpp takes for the end of a generation, whatever the file says. */
export const ENDS_BY_TEXT: ReadonlySet<string> = new Set([
  "<|endoftext|>",
  "<|im_end|>",
  "<|eot_id|>",
  "<|eom_id|>",
  "<|end_of_text|>",
  "<|end|>",
  "<｜end▁of▁sentence｜>",
  "</s>",
  "<eos>",
]);

/** What `specialTokenMetadata` looks at. */
export interface SpecialTokenSources {
  readonly tokenizer: BpeTokenizer;
  /** tokenizer_config.json over special_tokens_map.json. */
  readonly tokenizerConfig: TokenizerConfig;
  readonly model: ModelConfig;
  readonly vocabulary: readonly VocabularyToken[];
}

/**
 * Ids of the special tokens, and whether texts get a first and a last one. `refuse` is called where there is no token
 * that ends a sequence: llama.cpp would take token 11 for it. `note` gets what llama.cpp will do differently.
 */
export function specialTokenMetadata(
  { tokenizer, tokenizerConfig, model, vocabulary }: SpecialTokenSources,
  refuse: (reason: string) => never,
  note: (text: string) => void,
): Map<string, GgufValue> {
  const idByText = new Map(vocabulary.map(({ text }, id) => [text, id]));
  const idOf = (name: "bos_token" | "eos_token" | "unk_token" | "pad_token"): number | undefined => {
    const text = tokenizerConfig[name];
    if (typeof text !== "string") return undefined;
    return idByText.get(text) ?? refuse(`${name} is ${JSON.stringify(text)}, which is not in tokenizer.json`);
  };
  const eos = idOf("eos_token") ?? model.eosTokenIds[0];
  if (eos === undefined) return refuse("neither the tokenizer nor config.json names a token that ends a sequence");
  const bos = idOf("bos_token") ?? model.bosTokenId ?? undefined;
  const unk = idOf("unk_token");
  const pad = idOf("pad_token") ?? model.padTokenId ?? undefined;

  const metadata = new Map<string, GgufValue>();
  const id = (key: string, value: number | undefined) => {
    if (value !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, { type: "uint32", value });
  };
  // Unset, llama.cpp's first token of a sequence is 11; it is not added unless add_bos_token says so.
  id("bos", bos ?? eos);
  id("eos", eos);
  const unnamed = model.eosTokenIds.filter((stop) => stop !== eos && !ENDS_BY_TEXT.has(vocabulary[stop]?.text ?? ""));
  id("eot", unnamed[0]);
  id("eom", unnamed[1]);
  if (unnamed.length > 2) note(`llama.cpp will not stop at the stop tokens ${unnamed.slice(2).join(", ")}`);
  id("unknown", unk);
  id("padding", pad);

  const added = addedAround(tokenizer.post_processor);
  const configured = (key: string): boolean => tokenizerConfig[key] === true;
  const addsBos = added === undefined ? configured("add_bos_token") : idByText.get(added.first ?? "") === (bos ?? -1);
  const addsEos = added === undefined ? configured("add_eos_token") : idByText.get(added.last ?? "") === eos;
  metadata.set("tokenizer.ggml.add_bos_token", { type: "bool", value: addsBos && bos !== undefined });
  metadata.set("tokenizer.ggml.add_eos_token", { type: "bool", value: addsEos });
  return metadata;
}

const specialPiece = z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }) });
const template = z.looseObject({ type: z.literal("TemplateProcessing"), single: z.array(z.unknown()) });
const processors = z.looseObject({ type: z.literal("Sequence"), processors: z.array(z.unknown()) });

/** The special tokens that a tokenizer.json's template puts before and after a text; undefined where it has none. */
function addedAround(postProcessor: unknown): { first: string | undefined; last: string | undefined } | undefined {
  const several = processors.safeParse(postProcessor);
  const all = several.success ? several.data.processors : [postProcessor];
  for (const one of all) {
    const parsed = template.safeParse(one);
    if (!parsed.success) continue;
    const textOf = (piece: unknown) => specialPiece.safeParse(piece).data?.SpecialToken.id;
    return { first: textOf(parsed.data.single[0]), last: textOf(parsed.data.single.at(-1)) };
  }
  return undefined;
}

/** The chat templates: the default one, and others (for tools, say) under their names. */
export function chatTemplateMetadata(files: TokenizerFiles, tokenizerConfig: TokenizerConfig): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  const field = tokenizerConfig.chat_template ?? [];
  const named = typeof field === "string" ? [{ name: "default", template: field }] : field;
  const byDefault = files["chat_template.jinja"] ?? named.find(({ name }) => name === "default")?.template;
  if (byDefault !== undefined && byDefault !== "") {
    metadata.set("tokenizer.chat_template", { type: "string", value: byDefault });
  }
  const others = named.filter(({ name }) => name !== "default");
  for (const { name, template } of others) {
    metadata.set(`tokenizer.chat_template.${name}`, { type: "string", value: template });
  }
  if (others.length > 0) {
    metadata.set("tokenizer.chat_templates", { type: "string", values: others.map(({ name }) => name) });
  }
  return metadata;
}
