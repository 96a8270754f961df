/**
 * Text of tokens as they are sampled, piece by piece, never a part of a character.
 *
 * Byte-level tokenizers cut an emoji or a Chinese character into several tokens, none of which is text by itself, and
 * SentencePiece decoders treat the first token of a text apart (they strip its space). So a token is decoded together
 * with the ones before it, in a window that slides along, and what is new is given out. A character whose bytes are not
 * all there yet decodes to one U+FFFD at the end of the text: that one is held back until the next token, or `end`.
 *
 * All pieces joined are `tokenizer.decode` of all tokens, U+FFFD for broken bytes included. Code points are what is kept
 * whole, not the clusters that a screen shows as one sign (a family emoji is several).
 */

import type { Tokenizer } from "./tokenizer.ts";

const INCOMPLETE = "\uFFFD";

/** The window is cut down when it has this many tokens … */
const LARGEST_WINDOW = 24;
/** … to this many: more than the bytes of a character, so that the cut lies before any that is incomplete. */
const KEPT_OF_WINDOW = 8;

/** Decodes one sequence of tokens; make one for each. */
export class StreamingDecoder {
  readonly #tokenizer: Pick<Tokenizer, "decode">;
  readonly #options: { readonly keepSpecial: boolean };
  #window: number[] = [];
  /** Characters of the window's text that were given out. */
  #given = 0;

  /**
   * Special tokens are left out unless `keepSpecial` is set, as in `Tokenizer.decode`. With `after` the text is what
   * follows these tokens: all pieces joined are the text of both less that of `after`.
   */
  constructor(
    tokenizer: Pick<Tokenizer, "decode">,
    options: { readonly keepSpecial?: boolean; readonly after?: Int32Array | undefined } = {},
  ) {
    this.#tokenizer = tokenizer;
    this.#options = { keepSpecial: options.keepSpecial ?? false };
    if (options.after === undefined) return;
    this.#window = [...options.after.subarray(-KEPT_OF_WINDOW)].filter((token) => !this.#isSilent(token));
    const text = this.#decode(this.#window);
    this.#given = text.endsWith(INCOMPLETE) ? text.length - 1 : text.length;
  }

  /** The text that `tokenId` completes: empty for a special token, and where a character still lacks bytes. */
  push(tokenId: number): string {
    if (this.#isSilent(tokenId)) return "";
    this.#window.push(tokenId);
    const text = this.#decode(this.#window);
    const settled = text.endsWith(INCOMPLETE) ? text.length - 1 : text.length;
    const piece = text.slice(this.#given, settled);
    this.#given = Math.max(this.#given, settled);
    if (this.#window.length >= LARGEST_WINDOW) this.#shrinkWindow(text);
    return piece;
  }

  /** What was held back: a character that never became whole, as U+FFFD. The decoder can then begin another sequence. */
  end(): string {
    const rest = this.#decode(this.#window).slice(this.#given);
    this.#window = [];
    this.#given = 0;
    return rest;
  }

  #decode(tokens: readonly number[]): string {
    return this.#tokenizer.decode(tokens, this.#options);
  }

  /** Whether the token has no text here although it has some: a special one that is left out. */
  #isSilent(tokenId: number): boolean {
    if (this.#options.keepSpecial || this.#decode([tokenId]) !== "") return false;
    return this.#tokenizer.decode([tokenId], { keepSpecial: true }) !== "";
  }

  #shrinkWindow(text: string): void {
    const kept = this.#window.slice(-KEPT_OF_WINDOW);
    const keptText = this.#decode(kept);
    // Blank text alone does not do: at the start of a window its spaces could be stripped, and with them later ones.
    if (keptText.trim() === "" || !text.endsWith(keptText.trimStart())) return;
    this.#given = keptText.length - (text.length - this.#given);
    this.#window = kept;
  }
}
