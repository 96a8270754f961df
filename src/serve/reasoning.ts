/**
 * Reasoning apart from the answer: what stands between <think> and </think> is one channel, everything else the other,
 * as DeepSeek's API and the servers that followed it do (`reasoning_content` beside `content`).
 *
 * The tags themselves, the whitespace at both ends of the reasoning and that before the answer belong to neither. A
 * prompt may end inside of the tags, as R1's templates do; a text that never closes them is all reasoning. What it is
 * not: a judge of the format. A reward reads the completion as it is.
 */

import { heldLength } from "./stop-strings.ts";

/** What opens and closes reasoning. */
const THINK_TAGS = { open: "<think>", close: "</think>" } as const;

export type Channel = "reasoning" | "content";

/** A piece of text and where it belongs. */
export interface ChannelText {
  readonly channel: Channel;
  readonly text: string;
}

/** Whether text that continues `text` is reasoning: its last opening tag was not closed. */
export function endsInsideReasoning(text: string): boolean {
  const opened = text.lastIndexOf(THINK_TAGS.open);
  return opened >= 0 && text.indexOf(THINK_TAGS.close, opened) < 0;
}

/** Splits one completion, piece by piece; the pieces' borders make no difference. */
export class ReasoningSplitter {
  #channel: Channel;
  /** The end of the text so far that may become a tag, or, in reasoning, whitespace before the closing tag. */
  #held = "";
  /** Whitespace is dropped until something else comes: at the start of reasoning, and of an answer after it. */
  #atStart: boolean;

  /** `inside`: the prompt ended within the tags. */
  constructor(inside: boolean) {
    this.#channel = inside ? "reasoning" : "content";
    this.#atStart = inside;
  }

  /** Where the next character belongs, as far as is known. */
  get channel(): Channel {
    return this.#channel;
  }

  /** Takes the next piece of text; returns what is decided. */
  push(text: string): ChannelText[] {
    const pieces: ChannelText[] = [];
    let rest = this.#held + text;
    for (;;) {
      const tag = this.#channel === "reasoning" ? THINK_TAGS.close : THINK_TAGS.open;
      const at = rest.indexOf(tag);
      if (at < 0) break;
      const before = rest.slice(0, at);
      this.#emit(pieces, this.#channel === "reasoning" ? before.trimEnd() : before);
      rest = rest.slice(at + tag.length);
      this.#channel = this.#channel === "reasoning" ? "content" : "reasoning";
      this.#atStart = true;
    }
    const held = this.#undecided(rest);
    this.#held = rest.slice(rest.length - held);
    this.#emit(pieces, rest.slice(0, rest.length - held));
    return pieces;
  }

  /** The text has ended: what was held back is text like any other. */
  end(): ChannelText[] {
    const pieces: ChannelText[] = [];
    this.#emit(pieces, this.#channel === "reasoning" ? this.#held.trimEnd() : this.#held);
    this.#held = "";
    return pieces;
  }

  /** Characters at the end of `text` that are not decided yet. */
  #undecided(text: string): number {
    if (this.#channel === "content") return heldLength(text, [THINK_TAGS.open]);
    const withoutTag = text.slice(0, text.length - heldLength(text, [THINK_TAGS.close]));
    return text.length - withoutTag.trimEnd().length;
  }

  #emit(pieces: ChannelText[], text: string): void {
    const shown = this.#atStart ? text.trimStart() : text;
    if (shown === "") return;
    this.#atStart = false;
    pieces.push({ channel: this.#channel, text: shown });
  }
}
