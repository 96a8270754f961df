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

/** `ignoreMerges`: whether llama.cpp takes a piece that is a token as it is, without merging towards it. */
const NAMES: readonly { readonly name: string; readonly ignoreMerges: boolean; readonly schema: z.ZodType }[] = [
  { name: "qwen2", ignoreMerges: false, schema: sequence(split(QWEN2), byteLevel(false)) },
  { name: "llama-bpe", ignoreMerges: true, schema: sequence(split(LLAMA3), byteLevel(false)) },
  { name: "dbrx", ignoreMerges: false, schema: sequence(split(LLAMA3), byteLevel(false)) },
  { name: "gpt-2", ignoreMerges: false, schema: byteLevel(true) },
  { name: "smollm", ignoreMerges: false, schema: sequence(digits, byteLevel(true)) },
];

/** llama.cpp's name for a tokenizer.json's `pre_tokenizer`; undefined where it has none that does the same. */
export function preTokenizerName(preTokenizer: unknown, ignoreMerges: boolean): string | undefined {
  return NAMES.find((known) => known.ignoreMerges === ignoreMerges && known.schema.safeParse(preTokenizer).success)
    ?.name;
}
