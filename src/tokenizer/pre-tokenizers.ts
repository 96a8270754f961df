/**
 * How a text is cut before the model sees it: tokenizer.json's `pre_tokenizer`, as the Rust package `tokenizers` does it.
 *
 * Ours, because Hugging Face's JavaScript package takes JavaScript's digits and white space for Rust's (`²` is numeric and
 * U+FEFF is no space), and some settings for others (`behavior`). It still translates the patterns of `Split` from
 * Oniguruma's syntax. A kind that is not here is refused by name.
 */

import { z } from "zod";
import { WORD_CHARACTERS } from "./added-tokens.ts";
import { SplitPreTokenizer } from "./library.ts";

/** A stretch of text; `isFirst` where it is the beginning of the whole text. */
export interface Piece {
  readonly text: string;
  readonly isFirst: boolean;
}

/** Cuts a stretch of text into the pieces that the model tokenizes. */
export type PreTokenizer = (piece: Piece) => Piece[];

const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof BEHAVIORS)[number];
const behavior = z
  .string()
  .transform((name) => BEHAVIORS.find((one) => one.toLowerCase() === name.toLowerCase().replaceAll("_", "")) ?? name)
  .pipe(z.enum(BEHAVIORS));

const schema = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("Sequence"), pretokenizers: z.array(z.unknown()) }),
  z.looseObject({
    type: z.literal("ByteLevel"),
    add_prefix_space: z.boolean().default(true),
    use_regex: z.boolean().default(true),
  }),
  z.looseObject({
    type: z.literal("Split"),
    pattern: z.union([z.object({ Regex: z.string() }), z.object({ String: z.string() })]),
    behavior,
    invert: z.boolean().default(false),
  }),
  z.looseObject({ type: z.literal("Digits"), individual_digits: z.boolean().default(false) }),
  z.looseObject({ type: z.literal("Punctuation"), behavior: behavior.default("Isolated") }),
  z.looseObject({ type: z.literal("Whitespace") }),
  z.looseObject({ type: z.literal("WhitespaceSplit") }),
  z.looseObject({ type: z.literal("BertPreTokenizer") }),
  z.looseObject({ type: z.literal("CharDelimiterSplit"), delimiter: z.string() }),
  z.looseObject({ type: z.literal("FixedLength"), length: z.int().positive() }),
  z.looseObject({
    type: z.literal("Metaspace"),
    replacement: z.string().default("▁"),
    add_prefix_space: z.boolean().optional(),
    prepend_scheme: z.enum(["always", "first", "never"]).optional(),
    split: z.boolean().default(true),
  }),
]);

/** GPT-2's pattern, with white space as Rust and Python have it. */
const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const NUMERIC = /\p{N}/gu;
const SPACE = /\p{White_Space}/gu;
const WORD_OR_OTHER = new RegExp(`[${WORD_CHARACTERS}]+|[^${WORD_CHARACTERS}\\p{White_Space}]+`, "gu");
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

/** The pre-tokenizer of a configuration, null for none. Throws Error with the reason where it is not supported. */
export function createPreTokenizer(config: unknown): PreTokenizer {
  if (config === null || config === undefined) return (piece) => [piece];
  const parsed = schema.safeParse(config);
  if (!parsed.success) {
    const { type } = config as { readonly type?: unknown };
    const issue = parsed.error.issues[0];
    throw new Error(
      `pre_tokenizer ${JSON.stringify(type ?? null)}: ${issue?.path.join(".") || "type"}: ${issue?.message}`,
    );
  }
  const options = parsed.data;
  switch (options.type) {
    case "Sequence": {
      const all = options.pretokenizers.map(createPreTokenizer);
      return (piece) => all.reduce((pieces, one) => pieces.flatMap(one), [piece]);
    }
    case "ByteLevel":
      return byteLevel(options.add_prefix_space, options.use_regex);
    case "Split": {
      const pattern =
        "Regex" in options.pattern ? compilePattern(options.pattern.Regex) : literal(options.pattern.String);
      return splitting(pattern, options.behavior, options.invert);
    }
    case "Digits":
      return splitting(NUMERIC, options.individual_digits ? "Isolated" : "Contiguous");
    case "Punctuation":
      return splitting(PUNCTUATION, options.behavior);
    case "Whitespace":
      return splitting(WORD_OR_OTHER, "Removed", true);
    case "WhitespaceSplit":
      return splitting(SPACE, "Removed");
    case "BertPreTokenizer": {
      const words = splitting(SPACE, "Removed");
      const marks = splitting(PUNCTUATION, "Isolated");
      return (piece) => words(piece).flatMap(marks);
    }
    case "CharDelimiterSplit":
      return splitting(literal(options.delimiter), "Removed");
    case "FixedLength": {
      const { length } = options;
      return ({ text, isFirst }) => {
        const characters = Array.from(text);
        const count = Math.ceil(characters.length / length);
        return Array.from({ length: count }, (_, i) => ({
          text: characters.slice(i * length, (i + 1) * length).join(""),
          isFirst: isFirst && i === 0,
        }));
      };
    }
    case "Metaspace": {
      const legacy = options.add_prefix_space === false ? "never" : "always";
      return metaspace(options.replacement, options.prepend_scheme ?? legacy, options.split);
    }
  }
}

/** A stretch of text that matches a pattern, or one between matches. */
interface Span {
  readonly start: number;
  end: number;
  readonly isMatch: boolean;
}

/** Cuts at the matches of a pattern, or, inverted, at what lies between them. */
function splitting(pattern: RegExp, how: Behavior, invert = false): PreTokenizer {
  return ({ text, isFirst }) =>
    joined(spansOf(text, pattern, invert), how).map(({ start, end }) => ({
      text: text.slice(start, end),
      isFirst: isFirst && start === 0,
    }));
}

/** All of the text as spans, none of them empty. */
function spansOf(text: string, pattern: RegExp, invert: boolean): Span[] {
  const spans: Span[] = [];
  const add = (start: number, end: number, isMatch: boolean): void => {
    if (end > start) spans.push({ start, end, isMatch: isMatch !== invert });
  };
  let done = 0;
  for (const { 0: match, index } of text.matchAll(pattern)) {
    add(done, index, false);
    add(index, index + match.length, true);
    done = index + match.length;
  }
  add(done, text.length, false);
  return spans;
}

function joined(spans: readonly Span[], how: Behavior): readonly Span[] {
  switch (how) {
    case "Isolated":
      return spans;
    case "Removed":
      return spans.filter(({ isMatch }) => !isMatch);
    case "Contiguous":
      return merged(spans, (before, next) => before.isMatch === next.isMatch);
    case "MergedWithPrevious":
      return merged(spans, (before, next) => next.isMatch && !before.isMatch);
    case "MergedWithNext":
      return merged(spans, (before, next) => before.isMatch && !next.isMatch);
  }
}

/** Neighbours in one where they belong together; which they do is asked of the spans themselves, not of what they became. */
function merged(spans: readonly Span[], belong: (before: Span, next: Span) => boolean): readonly Span[] {
  const result: Span[] = [];
  spans.forEach((span, i) => {
    const last = result.at(-1);
    if (last !== undefined && belong(spans[i - 1]!, span)) last.end = span.end;
    else result.push({ ...span });
  });
  return result;
}

/** Text as its bytes, each written as the printable character that GPT-2 gave it. */
function byteLevel(addPrefixSpace: boolean, useRegex: boolean): PreTokenizer {
  const encoder = new TextEncoder();
  const cut: PreTokenizer = useRegex ? splitting(GPT2, "Isolated") : (piece) => [piece];
  return ({ text, isFirst }) => {
    const prefixed = addPrefixSpace && !text.startsWith(" ") ? ` ${text}` : text;
    return cut({ text: prefixed, isFirst }).map((piece) => {
      let bytes = "";
      for (const byte of encoder.encode(piece.text)) bytes += BYTE_CHARACTERS[byte];
      return { text: bytes, isFirst: piece.isFirst };
    });
  };
}

/** GPT-2's stand-ins for the 256 bytes: printable Latin-1 for itself, the others from U+0100 on in order. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCodePoint(isPrintable ? byte : 0x100 + others++);
  });
})();

/** SentencePiece's marks in place of spaces. */
function metaspace(mark: string, prepend: "always" | "first" | "never", split: boolean): PreTokenizer {
  const cut = split ? splitting(literal(mark), "MergedWithNext") : (piece: Piece) => [piece];
  return ({ text, isFirst }) => {
    const marked = text.replaceAll(" ", mark);
    const isPrepended = !marked.startsWith(mark) && (prepend === "always" || (prepend === "first" && isFirst));
    return cut({ text: isPrepended ? mark + marked : marked, isFirst });
  };
}

/** A pattern of Oniguruma's as JavaScript's, by Hugging Face's package. Throws Error where it cannot be said in it. */
function compilePattern(source: string): RegExp {
  const { pattern } = new SplitPreTokenizer({
    type: "Split",
    pattern: { Regex: source },
    behavior: "Isolated",
    invert: false,
  });
  if (pattern === null) throw new Error(`the pattern ${source} is not supported`);
  return pattern;
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
}
