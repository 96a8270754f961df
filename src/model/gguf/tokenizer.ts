/**
 * A Hugging Face tokenizer as the keys under which llama.cpp keeps one, for the three kinds that Aha's models have.
 *
 * - Byte-level BPE (Qwen, Llama 3, GPT-2) is llama.cpp's "gpt2": tokens, merges, and the name of the built-in pattern
 *   that cuts text first. The same ids for the same text, but for one known difference: llama.cpp does not normalise
 *   (Qwen's tokenizers compose accents, NFC; nearly all text already is).
 * - Longest match without merges, which Aha's own tokenizers use, has no counterpart. llama.cpp's "t5" tokenizer looks
 *   for the segmentation with the best sum of scores; with one score for all tokens that is the fewest tokens. For text
 *   whose integers are tokens this is the longest match. It differs where longest match is a poor cut: "112" with
 *   integers up to 99 is 11 2 here and 1 12 there; and several unknown characters in a row are one unknown token there.
 *
 * - SentencePiece's BPE (Llama 2, Mistral, Gemma) is llama.cpp's "llama": `sentencepiece.ts`.
 *
 * What is none of them is refused by name, never approximated: a model that gets other tokens than those that it learned
 * is broken without any visible error. For such tokenizers there is `tokenIdMetadata`: a file whose tokens are written as
 * their ids.
 */

import { CheckpointError } from "../../errors.ts";
import { longestMatchPattern } from "../../tokenizer/build.ts";
import { allAddedTokens, mergedConfig } from "../../tokenizer/tokenizer-config.ts";
import type { TokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import type { ModelConfig } from "../model-config.ts";
import type { GgufValue } from "./format.ts";
import { preTokenizerName } from "./pre-tokenizers.ts";
import { isSentencePiece, sentencePieceMetadata } from "./sentencepiece.ts";
import { chatTemplateMetadata, specialTokenMetadata } from "./special-tokens.ts";
import {
  type BpeTokenizer,
  parseBpeTokenizer,
  SPACE_MARK,
  TOKEN_TYPES,
  type VocabularyToken,
  vocabularyOf,
} from "./vocabulary.ts";

/** Of every token of a "t5" vocabulary. llama.cpp gives an unknown character this less 10: more than any real cut. */
export const TOKEN_SCORE = -(2 ** -10);

/** What there is to write, and what a user should know about it. */
export interface TokenizerMetadata {
  /** For people. */
  readonly kind: "byte-level BPE" | "SentencePiece BPE" | "longest match" | "token ids";
  readonly metadata: Map<string, GgufValue>;
  /** Sentences without a full stop. */
  readonly notes: readonly string[];
}

/** The keys of the tokenizer in `directory`, which `files` are of. Throws CheckpointError for one that is not expressible. */
export function tokenizerMetadata(files: TokenizerFiles, model: ModelConfig, directory: string): TokenizerMetadata {
  const refuse = (reason: string): never => {
    throw new CheckpointError(
      `The tokenizer in ${directory} cannot be written to GGUF: ${reason}. ` +
        "Export with --tokenizer ids for a file that runs on token ids.",
    );
  };
  const notes: string[] = [];
  const note = (text: string) => void notes.push(text);
  const parsed = parseBpeTokenizer(files["tokenizer.json"], `${directory}: tokenizer.json`, refuse);
  const tokenizer = { ...parsed, added_tokens: allAddedTokens(files, directory) };
  const tokenizerConfig = mergedConfig(files, directory);
  const vocabulary = vocabularyOf(tokenizer, model.vocabSize, refuse);
  const kind = kindOf(tokenizer);
  const metadata = METADATA_OF[kind](tokenizer, vocabulary, refuse, note);
  const special = specialTokenMetadata({ tokenizer, tokenizerConfig, model, vocabulary }, refuse, note);
  const templates = chatTemplateMetadata(files, tokenizerConfig);
  return { kind, metadata: new Map([...metadata, ...special, ...templates]), notes };
}

/**
 * A vocabulary in place of a tokenizer: the text of token 12 is `[12]`, and all other text is dropped. Programs that know
 * token ids use them as with any model; others can write them out. (llama.cpp's own tokenizer model "none" ends most
 * programs with a failed assertion, since they all tokenize something as they start.)
 */
export function tokenIdMetadata(model: ModelConfig): TokenizerMetadata {
  const ids = Array.from({ length: model.vocabSize }, (_, id) => id);
  const named = model.eosTokenIds[0] ?? model.padTokenId ?? undefined;
  const eos = named ?? model.vocabSize - 1;
  const notes = named === undefined ? [`config.json names no stop token; llama.cpp needs one and takes ${eos}`] : [];
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "string", values: ids.map((id) => `[${id}]`) }],
    ["tokenizer.ggml.token_type", { type: "int32", values: ids.map(() => TOKEN_TYPES.user) }],
    ["tokenizer.ggml.merges", { type: "string", values: [] }],
    ["tokenizer.ggml.bos_token_id", { type: "uint32", value: model.bosTokenId ?? eos }],
    ["tokenizer.ggml.eos_token_id", { type: "uint32", value: eos }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
    ["tokenizer.ggml.add_eos_token", { type: "bool", value: false }],
  ]);
  for (const [key, id] of [
    ["eot", model.eosTokenIds[1]],
    ["eom", model.eosTokenIds[2]],
    ["padding", model.padTokenId ?? undefined],
  ] as const) {
    if (id !== undefined) metadata.set(`tokenizer.ggml.${key}_token_id`, { type: "uint32", value: id });
  }
  return { kind: "token ids", metadata, notes };
}

/** Whether a vocabulary is that of `tokenIdMetadata`. */
export function isIdVocabulary(texts: readonly string[], types: readonly number[]): boolean {
  return texts.every((text, id) => text === `[${id}]` && types[id] === TOKEN_TYPES.user);
}

const METADATA_OF = {
  "byte-level BPE": byteLevelMetadata,
  "SentencePiece BPE": sentencePieceMetadata,
  "longest match": longestMatchMetadata,
} as const;

/** By what only one kind has; a tokenizer that is none of them is taken for the last, which refuses it. */
function kindOf(tokenizer: BpeTokenizer): keyof typeof METADATA_OF {
  if (isSentencePiece(tokenizer)) return "SentencePiece BPE";
  const { decoder } = tokenizer;
  const isByteLevel =
    typeof decoder === "object" && decoder !== null && "type" in decoder && decoder.type === "ByteLevel";
  return isByteLevel ? "byte-level BPE" : "longest match";
}

function byteLevelMetadata(
  tokenizer: BpeTokenizer,
  vocabulary: readonly VocabularyToken[],
  refuse: (reason: string) => never,
  note: (text: string) => void,
): Map<string, GgufValue> {
  const { model, normalizer } = tokenizer;
  const pre = preTokenizerName(tokenizer.pre_tokenizer, model.ignore_merges);
  if (pre === undefined) {
    const shown = JSON.stringify(tokenizer.pre_tokenizer ?? null).slice(0, 200);
    refuse(`llama.cpp has no pre-tokenizer that does what pre_tokenizer ${shown} does`);
  }
  if (!isNoneOrNfc(normalizer)) {
    refuse(`llama.cpp does not normalise text as normalizer ${JSON.stringify(normalizer).slice(0, 200)} does`);
  }
  const missing = byteCharacters().filter((character) => model.vocab[character] === undefined).length;
  if (missing > 0) note(`the tokenizer has no token for ${missing} of the 256 bytes; llama.cpp drops such bytes`);
  const merges = model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: pre! }],
    ["tokenizer.ggml.tokens", { type: "string", values: vocabulary.map(({ text }) => text) }],
    ["tokenizer.ggml.token_type", { type: "int32", values: vocabulary.map(({ type }) => TOKEN_TYPES[type]) }],
    ["tokenizer.ggml.merges", { type: "string", values: merges }],
  ]);
}

function isNoneOrNfc(normalizer: unknown): boolean {
  if (normalizer === null || normalizer === undefined) return true;
  return typeof normalizer === "object" && "type" in normalizer && normalizer.type === "NFC";
}

/** GPT-2's stand-ins for the 256 bytes: printable Latin-1 for itself, the others from U+0100 on in order. */
function byteCharacters(): string[] {
  const printable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : 0x100 + others++));
}

function longestMatchMetadata(
  tokenizer: BpeTokenizer,
  vocabulary: readonly VocabularyToken[],
  refuse: (reason: string) => never,
): Map<string, GgufValue> {
  if (!isLongestMatch(tokenizer, vocabulary)) {
    refuse("it is neither byte-level BPE nor one of Aha's own (aha model init --tokenizer)");
  }
  const normal = vocabulary.filter(({ type }) => type === "normal");
  if (normal.some(({ text }) => text.includes(SPACE_MARK))) refuse(`a token has ${SPACE_MARK}, a space to llama.cpp`);
  const texts = vocabulary.map(({ text, type }) => (type === "normal" ? text.replaceAll(" ", SPACE_MARK) : text));
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "t5" }],
    ["tokenizer.ggml.tokens", { type: "string", values: texts }],
    ["tokenizer.ggml.scores", { type: "float32", values: vocabulary.map(() => TOKEN_SCORE) }],
    ["tokenizer.ggml.token_type", { type: "int32", values: vocabulary.map(({ type }) => TOKEN_TYPES[type]) }],
    ["tokenizer.ggml.add_space_prefix", { type: "bool", value: false }],
    ["tokenizer.ggml.remove_extra_whitespaces", { type: "bool", value: false }],
  ]);
}

/** Whether text is cut into the longest tokens and nothing else happens to it: the form of `tokenizer/build.ts`. */
function isLongestMatch(
  { model, normalizer, pre_tokenizer, decoder }: BpeTokenizer,
  vocabulary: readonly VocabularyToken[],
): boolean {
  const plain = model.merges.length === 0 && model.ignore_merges && (normalizer ?? null) === null;
  const concatenates = JSON.stringify(decoder) === JSON.stringify({ type: "Fuse" });
  if (!plain || !concatenates || typeof model.unk_token !== "string") return false;
  const texts = vocabulary.filter(({ type }) => type === "normal").map(({ text }) => text);
  if ((pre_tokenizer ?? null) === null) return texts.every((text) => [...text].length === 1);
  const integers = texts.filter((text) => /^[0-9]+$/.test(text));
  const phrases = texts.filter((text) => !/^[0-9]/.test(text));
  if (integers.length === 0 || integers.length + phrases.length !== texts.length) return false;
  const pattern = longestMatchPattern(phrases, integers.length - 1);
  const expected = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  return integers.every((text, i) => text === String(i)) && JSON.stringify(pre_tokenizer) === JSON.stringify(expected);
}
