/**
 * The tokens of a tokenizer.json as GGUF lists them: one text and one type for every row of the model's embedding.
 *
 * Types say what llama.cpp does with a token's text: `control` tokens are only recognised where special tokens are to be
 * parsed, and print nothing; `user` tokens are recognised everywhere, before anything else; `unused` ones never come up:
 * rows of the embedding beyond the tokenizer's last id.
 */

import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { parseJson } from "../../json-text.ts";

const addedToken = z.object({
  id: z.int().nonnegative(),
  content: z.string().min(1),
  special: z.boolean().default(false),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
});

const schema = z.looseObject({
  added_tokens: z.array(addedToken).default([]),
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  post_processor: z.unknown(),
  decoder: z.unknown(),
  model: z.looseObject({ type: z.string().optional() }),
});

/** Text to id. Not zod's record, which drops a key named __proto__: tokenizers trained on code have such a token. */
const vocabulary = z.custom<Readonly<Record<string, number>>>(
  (value) =>
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((id) => Number.isSafeInteger(id) && (id as number) >= 0),
  "expected an object from tokens to ids",
);
const bpeModel = z.looseObject({
  type: z.literal("BPE"),
  vocab: vocabulary,
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  unk_token: z.string().nullish(),
  dropout: z.null().optional(),
  continuing_subword_prefix: z.union([z.null(), z.literal("")]).optional(),
  end_of_word_suffix: z.union([z.null(), z.literal("")]).optional(),
  byte_fallback: z.boolean().default(false),
  ignore_merges: z.boolean().default(false),
});

/** A tokenizer.json whose model is BPE over whole texts: no prefixes, suffixes or dropout. */
export interface BpeTokenizer extends z.infer<typeof schema> {
  readonly model: z.infer<typeof bpeModel>;
}

/** Parses a tokenizer.json; `refuse` is called, with the reason, where its model is of another kind. */
export function parseBpeTokenizer(text: string, where: string, refuse: (reason: string) => never): BpeTokenizer {
  const parsed = schema.safeParse(parseJson(text, where, CheckpointError));
  if (!parsed.success) throw new CheckpointError(`${where} is not a tokenizer's: ${issue(parsed.error)}.`);
  const model = bpeModel.safeParse(parsed.data.model);
  if (model.success) return { ...parsed.data, model: model.data };
  const { type } = parsed.data.model;
  if (type === "Unigram") return refuse("it is SentencePiece's Unigram, only BPE is written");
  return refuse(
    type === "BPE"
      ? `its BPE model has a setting that GGUF does not know (${issue(model.error)})`
      : `its model is ${JSON.stringify(type ?? null)}, only BPE is written`,
  );
}

function issue(error: z.ZodError): string {
  const first = error.issues[0];
  return `at ${first?.path.join(".") || "the top"}: ${first?.message}`;
}

/** llama.cpp's token types (`llama_token_type`). */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;
export type TokenType = keyof typeof TOKEN_TYPES;

/** SentencePiece's mark of a space (U+2581), by which llama.cpp's "llama" and "t5" tokens write one. */
export const SPACE_MARK = "▁";

/** The tokens of a file by id: their texts, and their types as numbers. */
export interface Vocabulary {
  readonly texts: readonly string[];
  readonly types: readonly number[];
}

export interface VocabularyToken {
  readonly text: string;
  readonly type: TokenType;
}

/**
 * A token for each id below `size`, the model's vocabulary. `refuse` is called for what GGUF cannot say: added tokens
 * that swallow the spaces around them, two ids with one text, ids beyond the model's.
 */
export function vocabularyOf(
  tokenizer: BpeTokenizer,
  size: number,
  refuse: (reason: string) => never,
): VocabularyToken[] {
  const tokens = new Array<VocabularyToken | undefined>(size).fill(undefined);
  const place = (id: number, text: string, type: TokenType) => {
    if (id >= size) refuse(`token ${JSON.stringify(text)} has id ${id}, the model has ${size} tokens`);
    const before = tokens[id];
    if (before !== undefined && before.text !== text) {
      refuse(`id ${id} is both ${JSON.stringify(before.text)} and ${JSON.stringify(text)}`);
    }
    tokens[id] = { text, type };
  };
  for (const [text, id] of Object.entries(tokenizer.model.vocab)) place(id, text, "normal");
  for (const { id, content, special, single_word, lstrip, rstrip } of tokenizer.added_tokens) {
    if (single_word || lstrip || rstrip) {
      refuse(`added token ${JSON.stringify(content)} has single_word, lstrip or rstrip, which GGUF cannot say`);
    }
    place(id, content, special || looksSpecial(content) ? "control" : "user");
  }
  const texts = new Set<string>();
  for (const token of tokens) {
    if (token === undefined) continue;
    if (token.text === "") refuse("a token's text is empty");
    if (texts.has(token.text)) refuse(`two ids have the text ${JSON.stringify(token.text)}`);
    texts.add(token.text);
  }
  return tokens.map((token, id) => token ?? { text: unusedText(id, texts), type: "unused" });
}

/** Tokens that some tokenizers do not mark as special, but every program treats so, llama.cpp among them. */
function looksSpecial(text: string): boolean {
  return /^<\|.*\|>$|^<｜.*｜>$/s.test(text);
}

/** llama.cpp wants every token's text to be another one, and not empty. */
function unusedText(id: number, taken: ReadonlySet<string>): string {
  let text = `[PAD${id}]`;
  while (taken.has(text)) text = `[${text}]`;
  return text;
}
