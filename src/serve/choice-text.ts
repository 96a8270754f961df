/**
 * From tokens to the text of one choice: decoded without splitting a character, cut at a stop string, reasoning apart
 * from the answer. Tokens come out together with the text they begin in, so that log-probabilities line up with it.
 */

import type { DrawnToken } from "../engine/contract/session.ts";
import { type Channel, type ChannelText, ReasoningSplitter } from "./reasoning.ts";
import { StopStrings } from "./stop-strings.ts";
import { characterCount } from "./token-text.ts";

/** Turns token ids into text one at a time; what is not a whole character yet is kept for the next. */
export interface IncrementalDecoder {
  push(token: number): string;
  end(): string;
}

/** A token and where its text begins in the completion, in characters (code points). */
export interface PlacedToken extends DrawnToken {
  readonly offset: number;
}

/** A token whose text has not come out yet, and where that begins in JavaScript's units. */
interface PendingToken {
  readonly token: PlacedToken;
  readonly begin: number;
}

/** What a token added to a choice. */
export interface ChoiceDelta {
  readonly pieces: readonly ChannelText[];
  readonly tokens: readonly PlacedToken[];
}

export interface ChoiceTextOptions {
  readonly decoder: IncrementalDecoder;
  /** Tokens that end the completion and are not part of its text. */
  readonly stopTokenIds: readonly number[];
  /** Whether such a token is among the tokens of the choice, with no text, as completions have it. */
  readonly keepStopToken?: boolean;
  readonly stop: readonly string[];
  /** Where the text begins; undefined: reasoning is not told apart. */
  readonly reasoning: Channel | undefined;
}

export class ChoiceText {
  readonly #options: ChoiceTextOptions;
  readonly #stops: StopStrings;
  readonly #splitter: ReasoningSplitter | undefined;
  #pending: PendingToken[] = [];
  /** Units decoded, and units that came out. */
  #decoded = 0;
  #shown = 0;
  /** Characters decoded. */
  #characters = 0;
  #reasoningTokens = 0;

  constructor(options: ChoiceTextOptions) {
    this.#options = options;
    this.#stops = new StopStrings(options.stop);
    this.#splitter =
      options.reasoning === undefined ? undefined : new ReasoningSplitter(options.reasoning === "reasoning");
  }

  /** True once a stop string was found: nothing that follows is part of the text. */
  get stopped(): boolean {
    return this.#stops.stopped;
  }

  /** Tokens that were drawn while the text was reasoning. */
  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  push(drawn: DrawnToken): ChoiceDelta {
    if (this.#splitter?.channel === "reasoning") this.#reasoningTokens++;
    if (this.#options.stopTokenIds.includes(drawn.token)) {
      if (this.#options.keepStopToken) this.#hold(drawn);
      return { pieces: [], tokens: [] };
    }
    this.#hold(drawn);
    const text = this.#options.decoder.push(drawn.token);
    this.#decoded += text.length;
    this.#characters += characterCount(text);
    return this.#show(this.#stops.push(text));
  }

  #hold(drawn: DrawnToken): void {
    this.#pending.push({ token: { ...drawn, offset: this.#characters }, begin: this.#decoded });
  }

  /** The completion is over: whatever was held back comes out. */
  end(): ChoiceDelta {
    const last = this.stopped ? "" : this.#options.decoder.end();
    this.#decoded += last.length;
    const { pieces, tokens } = this.#show(this.#stops.push(last) + this.#stops.end());
    // Tokens without text (special ones) at the very end; those at and after a stop string are not part of the text.
    const rest = this.stopped ? [] : this.#pending.map(({ token }) => token);
    this.#pending = [];
    return { pieces: [...pieces, ...(this.#splitter?.end() ?? [])], tokens: [...tokens, ...rest] };
  }

  #show(text: string): ChoiceDelta {
    this.#shown += text.length;
    const waiting = this.#pending.findIndex(({ begin }) => begin >= this.#shown);
    const out = this.#pending.splice(0, waiting < 0 ? this.#pending.length : waiting);
    const tokens = out.map(({ token }) => token);
    if (text === "") return { pieces: [], tokens };
    return { pieces: this.#splitter?.push(text) ?? [{ channel: "content", text }], tokens };
  }
}
