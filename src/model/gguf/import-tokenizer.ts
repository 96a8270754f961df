/**
 * The tokenizer of a GGUF file as Hugging Face's files: the inverse of `tokenizer.ts`, and SentencePiece's BPE besides.
 *
 * - llama.cpp's "gpt2" is byte-level BPE; the file names the pattern that cuts text first, and Aha has to know it.
 * - "llama" is SentencePiece's BPE: tokens with scores, pieces merged by the best score. Hugging Face has merges instead:
 *   every way to cut a token into two others, the best token first (as transformers' converter makes them).
 * - "t5" is read where it is what Aha writes for its own tokenizers, which take the longest match.
 *
 * Everything else is refused by name: a model that gets other tokens than those that it learned is broken without any
 * visible error.
 */

import { CheckpointError } from "../../errors.ts";
import { longestMatchPattern } from "../../tokenizer/build.ts";
import type { TokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import type { GgufFile } from "./gguf-file.ts";
import type { MetadataValue } from "./metadata-reader.ts";
import { knownPreTokenizer, PRE_TOKENIZER_NAMES } from "./pre-tokenizers.ts";
import { mergesOfScores } from "./sentencepiece.ts";
import { isIdVocabulary, TOKEN_SCORE } from "./tokenizer.ts";
import { SPACE_MARK, TOKEN_TYPES, type Vocabulary } from "./vocabulary.ts";

/** The parts of a tokenizer.json that differ from kind to kind. */
interface Parts {
  readonly model: Readonly<Record<string, unknown>>;
  readonly normalizer: object | null;
  readonly preTokenizer: object | null;
  readonly decoder: object;
  /** Whether texts begin with the first token where the file does not say. */
  readonly addsBos: boolean;
}

/**
 * The tokenizer's files, or undefined where the file has none: tokens that are written as their ids. Throws CheckpointError
 * for a tokenizer that cannot be expressed.
 */
export function importedTokenizer(file: GgufFile): TokenizerFiles | undefined {
  const reader = new TokenizerReader(file);
  const vocabulary = reader.vocabulary();
  if (isIdVocabulary(vocabulary.texts, vocabulary.types)) return undefined;
  const parts = reader.parts(vocabulary);
  const token = (name: string) => reader.token(`tokenizer.ggml.${name}_token_id`, vocabulary);
  const [bos, eos] = [token("bos"), token("eos")];
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    normalizer: parts.normalizer,
    pre_tokenizer: parts.preTokenizer,
    post_processor: postProcessor(
      reader.flag("tokenizer.ggml.add_bos_token", parts.addsBos) ? bos : undefined,
      reader.flag("tokenizer.ggml.add_eos_token", false) ? eos : undefined,
      vocabulary,
    ),
    decoder: parts.decoder,
    model: parts.model,
  };
  const config = {
    ...(bos !== undefined && { bos_token: bos }),
    ...(eos !== undefined && { eos_token: eos }),
    ...(token("unknown") !== undefined && { unk_token: token("unknown") }),
    ...(token("padding") !== undefined && { pad_token: token("padding") }),
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
  };
  return {
    "tokenizer.json": `${JSON.stringify(tokenizer, null, 2)}\n`,
    "tokenizer_config.json": `${JSON.stringify(config, null, 2)}\n`,
    ...reader.templates(),
  };
}

/** Tokens that are recognised in a text before it is cut: llama.cpp's control and user tokens. */
function addedTokens({ texts, types }: Vocabulary) {
  return texts.flatMap((content, id) => {
    const special = types[id] === TOKEN_TYPES.control || types[id] === TOKEN_TYPES.unknown;
    if (!special && types[id] !== TOKEN_TYPES.user) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

function postProcessor(first: string | undefined, last: string | undefined, { texts }: Vocabulary): object | null {
  if (first === undefined && last === undefined) return null;
  const around = (type_id: number, sequence: "A" | "B") => [
    ...(first === undefined ? [] : [{ SpecialToken: { id: first, type_id } }]),
    { Sequence: { id: sequence, type_id } },
    ...(last === undefined ? [] : [{ SpecialToken: { id: last, type_id } }]),
  ];
  const used = [...new Set([first, last])].filter((text) => text !== undefined);
  return {
    type: "TemplateProcessing",
    single: around(0, "A"),
    pair: [...around(0, "A"), ...around(1, "B")],
    special_tokens: Object.fromEntries(used.map((id) => [id, { id, ids: [texts.indexOf(id)], tokens: [id] }])),
  };
}

/** Ids by text, of tokens that a text can have; the rows of the embedding beyond them are left out. */
function vocabOf({ texts, types }: Vocabulary): Record<string, number> {
  // Not an object literal's prototype: tokenizers trained on code have a token __proto__.
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const [id, text] of texts.entries()) if (types[id] !== TOKEN_TYPES.unused) vocab[text] = id;
  return vocab;
}

/** The model of a BPE tokenizer; `merges` in order. */
function bpeModel(options: {
  readonly vocab: Record<string, number>;
  readonly merges: readonly (readonly [string, string])[];
  readonly ignoreMerges: boolean;
  readonly unknown?: string | undefined;
  readonly byteFallback?: boolean;
}) {
  const { vocab, merges, ignoreMerges, unknown = null, byteFallback = false } = options;
  return {
    type: "BPE",
    dropout: null,
    unk_token: unknown,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: byteFallback,
    byte_fallback: byteFallback,
    ignore_merges: ignoreMerges,
    vocab,
    merges,
  };
}

class TokenizerReader {
  readonly #file: GgufFile;

  constructor(file: GgufFile) {
    this.#file = file;
  }

  vocabulary(): Vocabulary {
    const texts = this.#strings("tokenizer.ggml.tokens");
    const types = this.#numbers("tokenizer.ggml.token_type") ?? texts.map(() => TOKEN_TYPES.normal);
    if (types.length !== texts.length) this.#refuse("tokenizer.ggml.token_type has another length than the tokens");
    const first = new Map<string, number>();
    for (const [id, text] of texts.entries()) {
      const before = first.get(text);
      if (before !== undefined && types[id] !== TOKEN_TYPES.unused) {
        this.#refuse(`the tokens ${before} and ${id} have the same text ${JSON.stringify(text)}`);
      }
      first.set(text, before ?? id);
    }
    return { texts, types };
  }

  parts(vocabulary: Vocabulary): Parts {
    const model = this.#text("tokenizer.ggml.model");
    switch (model) {
      case "gpt2":
        return this.#byteLevel(vocabulary);
      case "llama":
        return this.#sentencePiece(vocabulary);
      case "t5":
        return this.#longestMatch(vocabulary);
      default:
        return this.#refuse(
          `its kind, tokenizer.ggml.model = ${JSON.stringify(model)}, is not read; read are gpt2 and llama`,
        );
    }
  }

  token(key: string, { texts }: Vocabulary): string | undefined {
    const id = this.#file.metadata.get(key);
    return typeof id === "number" ? texts[id] : undefined;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#file.metadata.get(key);
    return typeof value === "boolean" ? value : fallback;
  }

  /** The chat templates, the default one and others under their names. */
  templates(): Record<string, string> {
    const prefix = "tokenizer.chat_template";
    const found: Record<string, string> = {};
    for (const [key, value] of this.#file.metadata) {
      if (typeof value !== "string" || (key !== prefix && !key.startsWith(`${prefix}.`))) continue;
      const name = key.slice(prefix.length + 1);
      if (name !== "" && !/^[\w-]+$/.test(name))
        this.#refuse(`${JSON.stringify(name)} cannot name a chat template's file`);
      found[name === "" ? "chat_template.jinja" : `additional_chat_templates/${name}.jinja`] = value;
    }
    return found;
  }

  #byteLevel(vocabulary: Vocabulary): Parts {
    const name = this.#file.metadata.get("tokenizer.ggml.pre") ?? "default";
    const known = typeof name === "string" ? knownPreTokenizer(name) : undefined;
    if (known === undefined) {
      return this.#refuse(
        `its pre-tokenizer, tokenizer.ggml.pre = ${JSON.stringify(name)}, is none that Aha knows ` +
          `(${PRE_TOKENIZER_NAMES.join(", ")})`,
      );
    }
    const merges = this.#strings("tokenizer.ggml.merges").map((merge) => {
      const space = merge.indexOf(" ", 1);
      if (space < 0) return this.#refuse(`tokenizer.ggml.merges has ${JSON.stringify(merge)}, which is no pair`);
      return [merge.slice(0, space), merge.slice(space + 1)] as const;
    });
    return {
      model: bpeModel({ vocab: vocabOf(vocabulary), merges, ignoreMerges: known.ignoreMerges }),
      normalizer: known.composes ? { type: "NFC" } : null,
      preTokenizer: known.json,
      decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      addsBos: known.addsBos,
    };
  }

  #sentencePiece(vocabulary: Vocabulary): Parts {
    const scores = this.#numbers("tokenizer.ggml.scores");
    if (scores?.length !== vocabulary.texts.length) {
      return this.#refuse("it is SentencePiece's (tokenizer.ggml.model = llama) without a score for each token");
    }
    const prefixed = this.flag("tokenizer.ggml.add_space_prefix", true);
    const replaced = { type: "Replace", pattern: { String: " " }, content: SPACE_MARK };
    return {
      model: bpeModel({
        vocab: vocabOf(vocabulary),
        merges: mergesOfScores(vocabulary, scores),
        ignoreMerges: false,
        unknown: vocabulary.texts[vocabulary.types.indexOf(TOKEN_TYPES.unknown)],
        byteFallback: vocabulary.types.includes(TOKEN_TYPES.byte),
      }),
      normalizer: prefixed
        ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE_MARK }, replaced] }
        : { type: "Sequence", normalizers: [replaced] },
      preTokenizer: null,
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: SPACE_MARK }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          ...(prefixed ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
        ],
      },
      addsBos: true,
    };
  }

  /** What `tokenizer.ts` makes of Aha's own tokenizers. */
  #longestMatch(vocabulary: Vocabulary): Parts {
    const scores = this.#numbers("tokenizer.ggml.scores") ?? [];
    const plain = ["add_space_prefix", "remove_extra_whitespaces"].every(
      (key) => !this.flag(`tokenizer.ggml.${key}`, true),
    );
    if (!plain || scores.length !== vocabulary.texts.length || scores.some((score) => score !== TOKEN_SCORE)) {
      return this.#refuse("it is SentencePiece's Unigram (tokenizer.ggml.model = t5), which is not read");
    }
    const texts = vocabulary.texts.map((text, id) =>
      vocabulary.types[id] === TOKEN_TYPES.normal ? text.replaceAll(SPACE_MARK, " ") : text,
    );
    const normal = texts.filter((_, id) => vocabulary.types[id] === TOKEN_TYPES.normal);
    const integers = normal.filter((text) => /^[0-9]+$/.test(text));
    const phrases = normal.filter((text) => !/^[0-9]/.test(text));
    const single = normal.every((text) => [...text].length === 1);
    const pattern = single ? undefined : longestMatchPattern(phrases, integers.length - 1);
    return {
      model: bpeModel({
        vocab: vocabOf({ ...vocabulary, texts }),
        merges: [],
        ignoreMerges: true,
        unknown: this.token("tokenizer.ggml.unknown_token_id", vocabulary),
      }),
      normalizer: null,
      preTokenizer:
        pattern === undefined
          ? null
          : { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
      decoder: { type: "Fuse" },
      addsBos: false,
    };
  }

  #text(key: string): string {
    const value = this.#file.metadata.get(key);
    return typeof value === "string" ? value : this.#refuse(`${key} is missing`);
  }

  #strings(key: string): readonly string[] {
    const value: MetadataValue = this.#file.metadata.get(key) ?? this.#refuse(`${key} is missing`);
    const all = Array.isArray(value) && value.every((one) => typeof one === "string");
    return all ? (value as readonly string[]) : this.#refuse(`${key} is no list of texts`);
  }

  #numbers(key: string): readonly number[] | undefined {
    const value = this.#file.metadata.get(key);
    if (value === undefined) return undefined;
    const all = Array.isArray(value) && value.every((one) => typeof one === "number");
    return all ? (value as readonly number[]) : this.#refuse(`${key} is no list of numbers`);
  }

  #refuse(reason: string): never {
    throw new CheckpointError(
      `${this.#file.path}: the tokenizer cannot be read: ${reason}. Take this model in the Hugging Face layout, or put its ` +
        "own tokenizer files beside the converted model.",
    );
  }
}
