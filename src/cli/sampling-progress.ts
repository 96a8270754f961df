/** How far sampling is, as people read it: sequences, tokens of at most, tokens a second, time left at most. */

import type { EvaluatedSoFar } from "../eval/evaluate.ts";
import { clock, count } from "../number-text.ts";

/** Seconds after which a rate says something. */
const SETTLED_AFTER = 1;

/** The words for one call of `sample` after another: fewer tokens than before are those of a new call. */
export class SamplingProgress {
  private readonly now: () => number;
  private startedAt: number;
  private firstTokens = 0;
  private tokens = 0;

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
    this.startedAt = now();
  }

  /** `what`: what is counted, e.g. `completions`. */
  text(what: string, { finished, total, tokens, mostTokens }: EvaluatedSoFar): string {
    const counted = `${finished}/${total}${what === "" ? "" : ` ${what}`}`;
    if (tokens === undefined || mostTokens === undefined) return counted;
    if (tokens < this.tokens || this.tokens === 0) {
      this.startedAt = this.now();
      this.firstTokens = tokens;
    }
    this.tokens = tokens;
    const seconds = (this.now() - this.startedAt) / 1000;
    const parts = [counted, `${count(tokens)} of at most ${count(mostTokens)} tokens`];
    if (seconds >= SETTLED_AFTER && tokens > this.firstTokens) {
      const rate = (tokens - this.firstTokens) / seconds;
      parts.push(`${count(rate)} tokens/s`, `${clock((mostTokens - tokens) / rate)} left at most`);
    }
    return parts.join(", ");
  }
}
