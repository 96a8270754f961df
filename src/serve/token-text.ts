/** Single tokens as text, for log-probabilities: what a client shows beside a number. */

import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The token's text on its own, special tokens written out; U+FFFD where it is a part of a character. */
export function textOfToken(tokenizer: Pick<Tokenizer, "decode">, token: number): string {
  return tokenizer.decode([token], { keepSpecial: true });
}

/** The UTF-8 bytes of a token's text; null where it is part of a character, whose bytes the text does not tell. */
export function utf8Bytes(text: string): number[] | null {
  return text.includes("\u{fffd}") ? null : [...new TextEncoder().encode(text)];
}
