/**
 * How a byte-level BPE tokenizer cuts text before it merges, as llama.cpp names it (`tokenizer.ggml.pre`).
 *
 * tokenizer.json has the pattern itself; llama.cpp has patterns built in and takes a name. Its converter finds the name
 * by the hash of a test text's tokens, which differs for every vocabulary; here it is found by the pattern, so that a
 * tokenizer whose vocabulary was changed or trained anew keeps its name. A pattern that llama.cpp does not have under
 * one of these names has none, and is not replaced by a similar one.
 */

import { z } from "zod";

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** Qwen2, Qwen2.5, Qwen3: digits one by one. */
const QWEN2 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${REST}`;
/** Llama 3: digits by threes. */
const LLAMA3 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${REST}`;

const byteLevel = (useRegex: boolean) =>
  z.looseObject({
    type: z.literal("ByteLevel"),
    add_prefix_space: z.literal(false),
    use_regex: useRegex ? z.literal(true).default(true) : z.literal(false),
  });
const split = (pattern: string) =>
  z.looseObject({
    type: z.literal("Split"),
    pattern: z.strictObject({ Regex: z.literal(pattern) }),
    behavior: z.literal("Isolated"),
    invert: z.literal(false).default(false),
  });
const digits = z.looseObject({ type: z.literal("Digits"), individual_digits: z.literal(true) });
const sequence = <T extends z.ZodType[]>(...parts: T) =>
  z.looseObject({ type: z.literal("Sequence"), pretokenizers: z.tuple(parts as unknown as [z.ZodType]) });

/** A pre-tokenizer that Hugging Face and llama.cpp both have, under llama.cpp's names; the first is the one that is written. */
interface KnownPreTokenizer {
  readonly names: readonly string[];
  /** Whether llama.cpp takes a piece that is a token as it is, without merging towards it. */
  readonly ignoreMerges: boolean;
  /** Whether Hugging Face's tokenizers with it compose characters first (NFC); llama.cpp never does. */
  readonly composes: boolean;
  /** Whether llama.cpp puts the first token before texts where the file says nothing about it. */
  readonly addsBos: boolean;
  readonly schema: z.ZodType;
  /** tokenizer.json's `pre_tokenizer`. */
  readonly json: object;
}

const BYTE_LEVEL = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false };
const splitBefore = (pattern: string) => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    { ...BYTE_LEVEL, use_regex: false },
  ],
});

const KNOWN: readonly KnownPreTokenizer[] = [
  {
    // DeepSeek's distilled models have Qwen's tokenizer with other special tokens.
    names: ["qwen2", "deepseek-r1-qwen"],
    ignoreMerges: false,
    composes: true,
    addsBos: false,
    schema: sequence(split(QWEN2), byteLevel(false)),
    json: splitBefore(QWEN2),
  },
  {
    names: ["llama-bpe", "llama3", "llama-v3"],
    ignoreMerges: true,
    composes: false,
    addsBos: true,
    schema: sequence(split(LLAMA3), byteLevel(false)),
    json: splitBefore(LLAMA3),
  },
  {
    // SmolLM3's files have the second name.
    names: ["dbrx", "smaug-bpe"],
    ignoreMerges: false,
    composes: false,
    addsBos: false,
    schema: sequence(split(LLAMA3), byteLevel(false)),
    json: splitBefore(LLAMA3),
  },
  {
    names: ["gpt-2"],
    ignoreMerges: false,
    composes: false,
    addsBos: false,
    schema: byteLevel(true),
    json: { ...BYTE_LEVEL, use_regex: true },
  },
  {
    names: ["smollm"],
    ignoreMerges: false,
    composes: false,
    addsBos: false,
    schema: sequence(digits, byteLevel(true)),
    json: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { ...BYTE_LEVEL, use_regex: true },
      ],
    },
  },
];

/** llama.cpp's name for a tokenizer.json's `pre_tokenizer`; undefined where it has none that does the same. */
export function preTokenizerName(preTokenizer: unknown, ignoreMerges: boolean): string | undefined {
  return KNOWN.find((known) => known.ignoreMerges === ignoreMerges && known.schema.safeParse(preTokenizer).success)
    ?.names[0];
}

/** The pre-tokenizer of that name in llama.cpp; undefined where Aha does not know it. */
export function knownPreTokenizer(name: string): Omit<KnownPreTokenizer, "schema"> | undefined {
  return KNOWN.find(({ names }) => names.includes(name));
}

/** Every name that `knownPreTokenizer` knows. */
export const PRE_TOKENIZER_NAMES: readonly string[] = KNOWN.flatMap(({ names }) => names);
