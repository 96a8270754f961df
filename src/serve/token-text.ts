/**
 * Single tokens as text, for log-probabilities: what a client shows beside a number. A token that is a part of a character
 * has no text; OpenAI writes its bytes out, as `\xf0\x9f` in chats and `bytes:\xf0\x9f` in completions, so that two such
 * tokens have two names.
 */

import type { RequestTokenizer } from "./model-facts.ts";

/** A token as clients see it. */
export interface TokenText {
  readonly bytes: Uint8Array;
  /** Undefined where the bytes are not whole characters. */
  readonly text: string | undefined;
}

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The texts of a tokenizer's tokens, each made once. */
export class TokenTexts {
  readonly #tokenizer: RequestTokenizer;
  readonly #known = new Map<number, TokenText>();

  constructor(tokenizer: RequestTokenizer) {
    this.#tokenizer = tokenizer;
  }

  of(token: number): TokenText {
    let found = this.#known.get(token);
    if (found === undefined) {
      const tokenizer = this.#tokenizer;
      const bytes = tokenizer.tokenBytes?.(token) ?? encoder.encode(tokenizer.decode([token], { keepSpecial: true }));
      found = { bytes, text: textOf(bytes) };
      this.#known.set(token, found);
    }
    return found;
  }

  /** The token's name in a chat's log-probabilities. */
  inChat(token: number): string {
    const { text, bytes } = this.of(token);
    return text ?? escaped(bytes);
  }

  /** Its name in a completion's. */
  inCompletion(token: number): string {
    const { text, bytes } = this.of(token);
    return text ?? `bytes:${escaped(bytes)}`;
  }

  /**
   * Where each token of a text begins in it, in characters (code points). Tokens that the text does not have, such as the
   * begin of text that a tokenizer puts before it, have no width; a token within a character begins where that does.
   */
  offsets(text: string, tokens: Int32Array): number[] {
    const whole = encoder.encode(text);
    let place = 0;
    let characters = 0;
    return Array.from(tokens, (token) => {
      const begin = isContinuation(whole[place]) ? characters - 1 : characters;
      const width = this.#width(whole, place, token);
      for (const end = Math.min(place + width, whole.length); place < end; place++) {
        if (!isContinuation(whole[place])) characters++;
      }
      return begin;
    });
  }

  /** Bytes of `whole` at `place` that a token stands for. */
  #width(whole: Uint8Array, place: number, token: number): number {
    const { bytes } = this.of(token);
    if (hasAt(whole, place, bytes)) return bytes.length;
    // SentencePiece puts a space before each stretch of text, also one that the text does not have.
    if (bytes[0] === SPACE && hasAt(whole, place, bytes.subarray(1))) return bytes.length - 1;
    const isAdded = this.#tokenizer.decode([token]) === "";
    return isAdded ? 0 : bytes.length;
  }
}

const SPACE = 0x20;

/** Whether a byte continues the character of the byte before it. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

function hasAt(whole: Uint8Array, place: number, part: Uint8Array): boolean {
  for (let i = 0; i < part.length; i++) if (whole[place + i] !== part[i]) return false;
  return true;
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

/** Characters of a text as Python counts them: code points. */
export function characterCount(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
