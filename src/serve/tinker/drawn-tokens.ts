/**
 * The tokens of a sequence as they are drawn, with what is reported of each: numbers side by side, as they are sent. An
 * object for every alternative would take ten times the memory, and requests may ask for millions of them.
 */

import type { DrawnToken } from "../../engine/contract/session.ts";
import { bytesOf, type WireTopk } from "../../tinker/messages.ts";

/** What an empty cell of a table of alternatives has. */
const NO_ALTERNATIVE = -99_999;

/** Numbers and their alternatives for which there is room from the first token on. */
const FIRST_ROOM = 64;

/** What has been drawn of a sequence so far. */
export class DrawnTokens {
  /** Alternatives that are reported of each token. */
  readonly #k: number;
  #length = 0;
  // Of a sequence that has not begun there is nothing: a request may ask for thousands of them.
  #tokens = new Int32Array(0);
  #logprobs = new Float32Array(0);
  #topIds: Int32Array;
  #topLogprobs: Float32Array;

  constructor(k: number) {
    this.#k = k;
    [this.#topIds, this.#topLogprobs] = emptyTable(0, k);
  }

  /** Bytes of a token and what is reported of it, with k alternatives. */
  static bytesOfOne(k: number): number {
    return 8 + 8 * k;
  }

  push({ token, logprob, top }: DrawnToken): void {
    const k = this.#k;
    if (this.#length === this.#tokens.length) this.#grow();
    const t = this.#length++;
    this.#tokens[t] = token;
    this.#logprobs[t] = logprob;
    if (k === 0) return;
    for (const [i, alternative] of top.entries()) {
      this.#topIds[t * k + i] = alternative.token;
      this.#topLogprobs[t * k + i] = alternative.logprob;
    }
  }

  get tokens(): Int32Array {
    return this.#tokens.subarray(0, this.#length);
  }

  /** One for each token. */
  get logprobs(): Float32Array {
    return this.#logprobs.subarray(0, this.#length);
  }

  /** The alternatives, token by token; undefined where none are reported. */
  get top(): WireTopk | undefined {
    const [k, length] = [this.#k, this.#length];
    if (k === 0) return undefined;
    const [ids, logprobs] = [this.#topIds.subarray(0, length * k), this.#topLogprobs.subarray(0, length * k)];
    return { tokenIds: bytesOf(ids), logprobs: bytesOf(logprobs), k, length };
  }

  #grow(): void {
    const k = this.#k;
    const room = Math.max(2 * this.#tokens.length, Math.floor(FIRST_ROOM / (k + 1)), 1);
    const [tokens, logprobs] = [new Int32Array(room), new Float32Array(room)];
    tokens.set(this.#tokens);
    logprobs.set(this.#logprobs);
    const [ids, topLogprobs] = emptyTable(room, k);
    ids.set(this.#topIds);
    topLogprobs.set(this.#topLogprobs);
    [this.#tokens, this.#logprobs, this.#topIds, this.#topLogprobs] = [tokens, logprobs, ids, topLogprobs];
  }
}

/** Room for k alternatives in each row, all of it empty. */
export function emptyTable(rows: number, k: number): [ids: Int32Array, logprobs: Float32Array] {
  return [new Int32Array(rows * k), new Float32Array(rows * k).fill(NO_ALTERNATIVE)];
}
