/** What a tokenizer's files say, checked: tokenizer.json and the settings, special tokens and templates beside it. */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import { type AddedToken, completeAddedTokens, type GivenToken, readToken } from "./added-tokens.ts";
import { namedTemplates, type TokenizerFiles } from "./tokenizer-files.ts";

const SPECIAL_NAMES = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

const tokenProperties = {
  special: z.boolean().optional(),
  single_word: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  normalized: z.boolean().optional(),
};
const givenToken = z.union([
  z.string(),
  z.object({ content: z.string(), ...tokenProperties }),
]) as z.ZodType<GivenToken>;
const tokenText = z.union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)]);
const tokenizerSchema = z.looseObject({
  added_tokens: z.array(z.object({ id: z.int().nonnegative(), content: z.string(), ...tokenProperties })).default([]),
  normalizer: z.unknown().optional(),
  pre_tokenizer: z.unknown().optional(),
  model: z.looseObject({
    type: z.string().nullish(),
    // Not zod's record, which drops a key named __proto__: tokenizers trained on code have such a token.
    vocab: z.custom<Readonly<Record<string, unknown>> | readonly unknown[]>(
      (value) => typeof value === "object" && value !== null,
      "expected an object from tokens to ids, or a list of pieces",
    ),
  }),
});
const templatesSchema = z.union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))]);
const configSchema = z.looseObject({
  ...Object.fromEntries(SPECIAL_NAMES.map((name) => [name, tokenText.nullish()])),
  added_tokens_decoder: z.record(z.string(), givenToken).nullish(),
  extra_special_tokens: z.union([z.array(givenToken), z.record(z.string(), givenToken)]).nullish(),
  additional_special_tokens: z.array(givenToken).nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: z.boolean().nullish(),
  chat_template: templatesSchema.nullish(),
});

/** A tokenizer.json, of which only what is used here has been checked. */
export type TokenizerJson = z.infer<typeof tokenizerSchema>;
type TokenizerConfig = z.infer<typeof configSchema>;

/** The two files. Throws CheckpointError where they are damaged, or no tokenizer's. */
export function readTokenizerConfig(
  files: TokenizerFiles,
  source: string,
): { readonly tokenizer: TokenizerJson; readonly config: TokenizerConfig } {
  const tokenizer = parseFile(tokenizerSchema, files["tokenizer.json"], `${source}: tokenizer.json`);
  return { tokenizer, config: mergedConfig(files, source) };
}

/** The added tokens of a tokenizer's files; see `added-tokens.ts`. Throws CheckpointError for files that are damaged. */
export function allAddedTokens(files: TokenizerFiles, source: string): AddedToken[] {
  const { tokenizer, config: merged } = readTokenizerConfig(files, source);
  const config = parseFile(configSchema, files["tokenizer_config.json"] ?? "{}", `${source}: tokenizer_config.json`);
  const addedTokensFile = parseFile(
    z.record(z.string(), z.int().nonnegative()),
    files["added_tokens.json"] ?? "{}",
    `${source}: added_tokens.json`,
  );
  const own = tokenizer.added_tokens.map(({ id, ...token }) => ({ ...readToken(token as GivenToken, false), id }));
  const vocabulary = vocabularyIds(tokenizer.model.vocab);
  const { extra_special_tokens: extra, additional_special_tokens: additional } = merged;
  const inVocabulary = (text: string): boolean => vocabulary.has(text);
  const standard = new Set<string>(SPECIAL_NAMES);
  // A standard token that is nowhere is refused by name, later: its id would be one that the model does not have.
  const named = Object.entries(namedTokenTexts(merged)).filter(
    ([name, text]) => !standard.has(name) || inVocabulary(text),
  );
  return completeAddedTokens(own, vocabulary, {
    decoder: config.added_tokens_decoder ?? undefined,
    addedTokens: addedTokensFile,
    named: named.map(([, text]) => text),
    extra: (Array.isArray(extra) && extra.length > 0 ? extra : additional) ?? [],
  });
}

/** The texts of special tokens that have a name: the standard ones, and a model's own (`image_token`), which templates see too. */
export function namedTokenTexts(config: TokenizerConfig): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const name of SPECIAL_NAMES) {
    const text = config[name];
    if (typeof text === "string") texts[name] = text;
  }
  const { extra_special_tokens: extra } = config;
  const own = extra === null || extra === undefined || Array.isArray(extra) ? {} : extra;
  for (const [name, value] of [...Object.entries(config), ...Object.entries(own)]) {
    if (texts[name] !== undefined || (!name.endsWith("_token") && !Object.hasOwn(own, name))) continue;
    const token = givenToken.safeParse(value);
    if (token.success) texts[name] = readToken(token.data, true).content;
  }
  return texts;
}

/** The model's own vocabulary: ids by text, of Unigram's list of pieces too. */
function vocabularyIds(vocab: z.infer<typeof tokenizerSchema>["model"]["vocab"]): ReadonlyMap<string, number> {
  const entries = Array.isArray(vocab)
    ? vocab.map((piece, id) => [String(Array.isArray(piece) ? piece[0] : piece), id] as const)
    : Object.entries(vocab).map(([text, id]) => [text, Number(id)] as const);
  return new Map(entries);
}

/** tokenizer_config.json over the older special_tokens_map.json. */
export function mergedConfig(files: TokenizerFiles, source: string): TokenizerConfig {
  const older = parseFile(configSchema, files["special_tokens_map.json"] ?? "{}", `${source}: special_tokens_map.json`);
  const config = parseFile(configSchema, files["tokenizer_config.json"] ?? "{}", `${source}: tokenizer_config.json`);
  const merged: Record<string, unknown> = { ...older };
  for (const [key, value] of Object.entries(config)) if (value !== null && value !== undefined) merged[key] = value;
  return configSchema.parse(merged);
}

/**
 * The chat templates by name. Files of their own (`chat_template.jinja`, `additional_chat_templates/`) count before the
 * config's field, which is one template or a list of them, and that before the older `chat_template.json`.
 */
export function templatesOf(
  files: TokenizerFiles,
  { chat_template: field }: TokenizerConfig,
  source: string,
): ReadonlyMap<string, string> {
  const ofFiles = namedTemplates(files);
  if (ofFiles.size > 0) return ofFiles;
  const older = parseFile(
    z.looseObject({ chat_template: templatesSchema.nullish() }),
    files["chat_template.json"] ?? "{}",
    `${source}: chat_template.json`,
  );
  const found = field ?? older.chat_template ?? [];
  if (typeof found === "string") return new Map([["default", found]]);
  return new Map(found.map(({ name, template }) => [name, template]));
}

/** The chat template that a tokenizer takes by default; undefined where there is none. `source` names it in messages. */
export function defaultTemplate(files: TokenizerFiles, source: string): string | undefined {
  return templatesOf(files, mergedConfig(files, source), source).get("default");
}

function parseFile<T>(schema: z.ZodType<T>, text: string, where: string): T {
  const result = schema.safeParse(parseJson(text, where, CheckpointError));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new CheckpointError(
    `${where} is not a tokenizer's: at ${issue?.path.join(".") || "the top"}: ${issue?.message}.`,
  );
}
