/**
 * SentencePiece's BPE between its two forms: Hugging Face's ordered merges, and the scores by which SentencePiece and
 * llama.cpp's "llama" tokenizer choose what to merge next.
 *
 * llama.cpp merges any two neighbours whose text is a token, the best score first. Hugging Face merges the pairs that are
 * listed, the first one first. The two do the same where every cut of a token into two tokens is listed, and those of one
 * token stand together, as in every tokenizer.json that was made of a SentencePiece model; a token's score is then minus
 * its place. Anything else is refused.
 */

import type { GgufValue } from "./format.ts";
import { type BpeTokenizer, SPACE_MARK, TOKEN_TYPES, type Vocabulary, type VocabularyToken } from "./vocabulary.ts";

type Refuse = (reason: string) => never;

/** What a tokenizer does with spaces: a mark in their place, and one before a text or not. */
const REPLACE = { type: "Replace", pattern: { String: " " }, content: SPACE_MARK };
const PREPEND = { type: "Prepend", prepend: SPACE_MARK };
/** Gemma has it; no space is left that it could find. */
const SPLIT_AT_SPACES = { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false };

/** Whether a tokenizer is SentencePiece's BPE: it falls back to bytes. */
export function isSentencePiece({ model }: BpeTokenizer): boolean {
  return model.byte_fallback;
}

/** The keys of a SentencePiece BPE tokenizer but those of its special tokens. */
export function sentencePieceMetadata(
  tokenizer: BpeTokenizer,
  vocabulary: readonly VocabularyToken[],
  refuse: Refuse,
  note: (text: string) => void,
): Map<string, GgufValue> {
  const texts = vocabulary.map(({ text }) => text);
  const unknown = tokenizer.model.unk_token;
  const types = vocabulary.map(({ text, type }) => {
    if (text === unknown) return TOKEN_TYPES.unknown;
    return type === "normal" && byteOf(text) !== undefined ? TOKEN_TYPES.byte : TOKEN_TYPES[type];
  });
  const bytes = new Set(texts.flatMap((text, id) => (types[id] === TOKEN_TYPES.byte ? [byteOf(text)] : [])));
  if (bytes.size < 256) refuse(`it falls back to bytes and has tokens for ${bytes.size} of the 256`);
  if (tokenizer.model.ignore_merges) refuse("its ignore_merges is true, which SentencePiece does not know");
  const prefix = spacePrefix(tokenizer, refuse);
  if (prefix === "first") {
    note("llama.cpp puts a space before text behind a special token, this tokenizer only before a whole text");
  }
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "llama" }],
    ["tokenizer.ggml.pre", { type: "string", value: "default" }],
    ["tokenizer.ggml.tokens", { type: "string", values: texts }],
    ["tokenizer.ggml.scores", { type: "float32", values: scoresOf(tokenizer, { texts, types }, refuse) }],
    ["tokenizer.ggml.token_type", { type: "int32", values: types }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: prefix !== "never" }],
  ]);
}

/** The byte that a token of the form `<0x0A>` stands for. */
function byteOf(text: string): number | undefined {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(text)?.[1];
  return hex === undefined ? undefined : Number.parseInt(hex, 16);
}

/** When a tokenizer puts a space before a text: never, before every part between special tokens, or before the first. */
function spacePrefix({ normalizer, pre_tokenizer }: BpeTokenizer, refuse: Refuse): "never" | "always" | "first" {
  const is = (value: unknown, ...forms: unknown[]) => forms.some((form) => sameJson(value ?? null, form));
  const sequence = (...normalizers: unknown[]) => ({ type: "Sequence", normalizers });
  if (is(pre_tokenizer, null, SPLIT_AT_SPACES)) {
    if (is(normalizer, sequence(PREPEND, REPLACE))) return "always";
    if (is(normalizer, REPLACE, sequence(REPLACE))) return "never";
  }
  if (is(normalizer, null)) {
    for (const prefix of ["always", "first", "never"] as const) {
      const metaspace = { type: "Metaspace", replacement: SPACE_MARK, prepend_scheme: prefix, split: false };
      if (is(pre_tokenizer, metaspace)) return prefix;
    }
  }
  const shown = JSON.stringify({ normalizer, pre_tokenizer }).slice(0, 200);
  return refuse(`it falls back to bytes, and does not treat spaces as SentencePiece does (${shown})`);
}

/** A score for each token, minus the place of the first merge that makes it. */
function scoresOf({ model }: BpeTokenizer, vocabulary: Vocabulary, refuse: Refuse): number[] {
  const { texts } = vocabulary;
  const merges = model.merges.map((merge) => (typeof merge === "string" ? splitMerge(merge) : merge));
  const placeOf = new Map<string, number>();
  let last: string | undefined;
  for (const [place, [left, right]] of merges.entries()) {
    const made = left + right;
    if (made !== last && placeOf.has(made)) {
      refuse(`its merges into ${JSON.stringify(made)} do not stand together, so no score says their order`);
    }
    if (made !== last) placeOf.set(made, place);
    last = made;
  }
  const listed = new Set(merges.map(([left, right]) => `${left} ${right}`));
  const scores = texts.map((text) => -(placeOf.get(text) ?? merges.length));
  for (const [left, right] of mergesOfScores(vocabulary, scores)) {
    if (listed.delete(`${left} ${right}`)) continue;
    refuse(`its merges lack ${JSON.stringify([left, right])}, whose text is a token: SentencePiece would merge them`);
  }
  return scores;
}

function splitMerge(merge: string): readonly [string, string] {
  const space = merge.indexOf(" ", 1);
  return [merge.slice(0, space), merge.slice(space + 1)];
}

/** Every cut of a token into two others, by the score of the token from the best down. */
export function mergesOfScores(
  { texts, types }: Vocabulary,
  scores: readonly number[],
): readonly (readonly [string, string])[] {
  const ids = new Map(texts.map((text, id) => [text, id]));
  const found: { readonly left: string; readonly right: string; readonly score: number }[] = [];
  for (const [id, text] of texts.entries()) {
    if (types[id] !== TOKEN_TYPES.normal && types[id] !== TOKEN_TYPES.user) continue;
    const characters = [...text];
    const cuts = characters.slice(1).flatMap((_, i) => {
      const [left, right] = [characters.slice(0, i + 1).join(""), characters.slice(i + 1).join("")];
      return ids.has(left) && ids.has(right) ? [{ left, right, score: scores[id]! }] : [];
    });
    cuts.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    found.push(...cuts);
  }
  const length = (text: string) => [...text].length;
  return found
    .sort((a, b) => b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right))
    .map(({ left, right }) => [left, right] as const);
}

/** Equal as JSON, whatever the order of keys. */
function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const [keys, others] = [Object.keys(a), Object.keys(b)];
  const [first, second] = [a as Record<string, unknown>, b as Record<string, unknown>];
  return keys.length === others.length && keys.every((key) => key in b && sameJson(first[key], second[key]));
}
