/**
 * Small tokenizers made from nothing, as real `tokenizer.json` files that this program and transformers both load.
 *
 * `countdown-compact` gives the Countdown game a vocabulary of its own: every integer is one token and so is every
 * phrase of the prompt and of the trace, so that the few layers of a small model learn arithmetic instead of spelling
 * (with digits as characters the same model did not learn to add in the same time). `r1-compact` adds the phrases of
 * the game in Chinese and of the assistant task. `characters` has one token for each printable ASCII character, for
 * tests and benchmarks.
 *
 * Longest match is a `Split` pre-tokenizer whose pattern lists the tokens, longest first, before a BPE model without
 * merges that takes each piece as it is (`ignore_merges`). A word-level model would say the same more plainly, but Hugging
 * Face's JavaScript package does not have it.
 */

import { ConfigError } from "../errors.ts";
import { ASSISTANT_PHRASES, CHINESE_COUNTDOWN_PHRASES, COUNTDOWN_PHRASES } from "./compact-phrases.ts";
import { HuggingFaceTokenizer } from "./huggingface.ts";

const PAD = "<pad>";
const EOS = "<eos>";
const UNKNOWN = "<unk>";

/** The most that `largest` may be: every integer has a row in the embedding. */
const LARGEST_ALLOWED = 99_999;

/**
 * The Countdown tokenizer: <pad> 0, <eos> 1, <unk> 2, the integers 0 … `largest` (99) from id 3 on, then
 * `COUNTDOWN_PHRASES`, then `extraPhrases`. Text is cut into the longest tokens from left to right; an integer beyond
 * `largest` falls into shorter ones; a character that starts no token is one <unk>. Any text of these phrases and
 * integers decodes to itself. Throws ConfigError for a phrase that could never be matched.
 */
export function buildCountdownCompact(
  options: { name?: string; largest?: number; extraPhrases?: readonly string[] } = {},
): HuggingFaceTokenizer {
  const { name = "countdown-compact", largest = 99, extraPhrases = [] } = options;
  if (!Number.isInteger(largest) || largest < 9 || largest > LARGEST_ALLOWED) {
    // Below 9 some digit would have no token, and with it no number that contains it.
    throw new ConfigError(
      `The largest integer token must be a whole number from 9 to ${LARGEST_ALLOWED}, not ${largest}.`,
    );
  }
  const phrases = [...COUNTDOWN_PHRASES, ...extraPhrases];
  checkPhrases(phrases);
  const integers = Array.from({ length: largest + 1 }, (_, i) => String(i));
  const pattern = longestMatchPattern(phrases, largest);
  return tokenizerOf({
    name,
    specialTokens: [PAD, EOS, UNKNOWN],
    tokens: [...integers, ...phrases],
    preTokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    config: { eos_token: EOS, pad_token: PAD, unk_token: UNKNOWN },
  });
}

/** Each message as `<|im_start|>role\ncontent<|im_end|>\n`: the form of Qwen's templates without their extras. */
const CHARACTERS_TEMPLATE =
  "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/**
 * One token a character: <|endoftext|> 0 (padding, and anything unknown), <|im_start|> 1, <|im_end|> 2 (end of
 * sequence), the printable ASCII characters from id 3 on, newline 98; with a chat template.
 */
export function buildCharacters(): HuggingFaceTokenizer {
  const printable = Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i));
  return tokenizerOf({
    name: "characters",
    specialTokens: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    tokens: [...printable, "\n"],
    preTokenizer: null,
    config: { eos_token: "<|im_end|>", pad_token: "<|endoftext|>", unk_token: "<|endoftext|>" },
    chatTemplate: CHARACTERS_TEMPLATE,
  });
}

/** Names under which `buildTokenizer` makes a tokenizer. */
export const BUILT_TOKENIZERS = ["countdown-compact", "r1-compact", "characters"] as const;
export type BuiltTokenizer = (typeof BUILT_TOKENIZERS)[number];

/** A built tokenizer by name, with its default options. */
export function buildTokenizer(name: BuiltTokenizer): HuggingFaceTokenizer {
  switch (name) {
    case "countdown-compact":
      return buildCountdownCompact();
    case "r1-compact":
      return buildCountdownCompact({ name, extraPhrases: [...CHINESE_COUNTDOWN_PHRASES, ...ASSISTANT_PHRASES] });
    case "characters":
      return buildCharacters();
  }
}

interface Parts {
  readonly name: string;
  readonly specialTokens: readonly string[];
  readonly tokens: readonly string[];
  readonly preTokenizer: object | null;
  readonly config: { readonly eos_token: string; readonly pad_token: string; readonly unk_token: string };
  readonly chatTemplate?: string;
}

function tokenizerOf(parts: Parts): HuggingFaceTokenizer {
  const vocab: [string, number][] = [...parts.specialTokens, ...parts.tokens].map((token, id) => [token, id]);
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: parts.specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: parts.preTokenizer,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: parts.config.unk_token,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(vocab),
      merges: [],
    },
  };
  const config = {
    ...parts.config,
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    padding_side: "left",
  };
  const files = {
    "tokenizer.json": `${JSON.stringify(tokenizer, null, 2)}\n`,
    "tokenizer_config.json": `${JSON.stringify(config, null, 2)}\n`,
    ...(parts.chatTemplate === undefined ? {} : { "chat_template.jinja": parts.chatTemplate }),
  };
  return new HuggingFaceTokenizer(files, parts.name);
}

function checkPhrases(phrases: readonly string[]): void {
  const seen = new Set<string>();
  for (const phrase of phrases) {
    const shown = JSON.stringify(phrase);
    if (phrase === "")
      throw new ConfigError("A phrase of the tokenizer is empty; it must have at least one character.");
    if (seen.has(phrase)) throw new ConfigError(`The tokenizer has the phrase ${shown} twice.`);
    // A digit would compete with the integers, and the longest match would no longer be the first of the pattern.
    if (/^[0-9]/.test(phrase))
      throw new ConfigError(`The phrase ${shown} starts with a digit; integers are tokens already.`);
    const special = [PAD, EOS, UNKNOWN].find((token) => phrase.includes(token));
    if (special !== undefined)
      throw new ConfigError(`The phrase ${shown} contains ${special}, which is always a token.`);
    seen.add(phrase);
  }
}

/** A pattern that matches the longest of the phrases and the integers 0 … `largest` that a text begins with. */
export function longestMatchPattern(phrases: readonly string[], largest: number): string {
  const byLength = [...phrases].sort((a, b) => b.length - a.length);
  return [...byLength.map(escapePattern), integerPattern(largest)].join("|");
}

/** A pattern, for Oniguruma and JavaScript alike, that matches this text and nothing else. */
function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&").replaceAll("\n", "\\n");
}

/**
 * A pattern that matches the longest integer 0 … `largest` without leading zeros. With n digits d₁…dₙ in `largest`: the
 * n-digit integers not above it, by the first place i where they are smaller than it; then every shorter one.
 */
function integerPattern(largest: number): string {
  const digits = [...String(largest)].map(Number);
  const places = digits.length;
  const alternatives = [String(largest)];
  for (let place = places - 1; place >= 0; place--) {
    const lowest = place === 0 && places > 1 ? 1 : 0;
    const highest = digits[place]! - 1;
    if (highest < lowest) continue;
    const free = places - place - 1;
    alternatives.push(`${digits.slice(0, place).join("")}[${lowest}-${highest}]${free > 0 ? `[0-9]{${free}}` : ""}`);
  }
  if (places > 1) alternatives.push(places > 2 ? `[1-9][0-9]{0,${places - 2}}` : "[1-9]", "0");
  return alternatives.join("|");
}
