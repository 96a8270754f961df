/**
 * Stop strings: ends a text where one of them begins, however tokens and chunks cut it.
 *
 * Text that may yet turn out to be the beginning of a stop string is held back until that is decided. Of several, the one
 * that is complete first counts (of those, the longest), as if the text came character by character: so the result does
 * not depend on where the chunks' borders lie.
 */

export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  #stopped = false;

  /** `stops` must not be empty strings. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** True once a stop string was found; whatever comes after it is ignored. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Takes the next piece of text; returns what is certain to stand before any stop string. */
  push(text: string): string {
    if (this.#stopped) return "";
    const pending = this.#held + text;
    const begin = this.#firstStop(pending);
    if (begin !== undefined) {
      this.#stopped = true;
      this.#held = "";
      return pending.slice(0, begin);
    }
    const kept = heldLength(pending, this.#stops);
    this.#held = pending.slice(pending.length - kept);
    return pending.slice(0, pending.length - kept);
  }

  /** The text has ended: what was held back began no stop string. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the stop string begins that is complete first. */
  #firstStop(text: string): number | undefined {
    let best: { readonly begin: number; readonly end: number } | undefined;
    for (const stop of this.#stops) {
      const begin = text.indexOf(stop);
      if (begin < 0) continue;
      const end = begin + stop.length;
      if (best === undefined || end < best.end || (end === best.end && begin < best.begin)) best = { begin, end };
    }
    return best?.begin;
  }
}

/** Characters at the end of `text` that are the beginning, but not the whole, of one of `patterns`: the most there are. */
export function heldLength(text: string, patterns: readonly string[]): number {
  let most = 0;
  for (const pattern of patterns) {
    for (let length = Math.min(pattern.length - 1, text.length); length > most; length--) {
      if (text.endsWith(pattern.slice(0, length))) most = length;
    }
  }
  return most;
}
