/**
 * Biases and penalties of one sequence: what is added to and taken from its logits before each draw (`LogitAdjustments`).
 *
 * With c(v) the times that the completion has token v so far, a logit z becomes in this order
 *
 *     z + bias(v);   z > 0 ? z / r : z · r, where prompt or completion has v;   z − frequency · c(v) − presence · [c(v) > 0]
 *
 * Formulas: OpenAI's API reference for frequency and presence, CTRL (Keskar et al., arXiv:1909.05858, §4.1) for r, in
 * transformers' form, which also pushes negative logits down. The order is vLLM's.
 */

import type { LogitAdjustments } from "../contract/session.ts";

export class LogitAdjuster {
  readonly #bias: ReadonlyMap<number, number>;
  readonly #repetition: number;
  readonly #frequency: number;
  readonly #presence: number;
  readonly #promptTokens: ReadonlySet<number>;
  /** Times of each token in the completion. */
  readonly #counts = new Map<number, number>();

  constructor(prompt: Int32Array, adjustments: LogitAdjustments) {
    const { bias = new Map(), repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = adjustments;
    this.#bias = bias;
    this.#repetition = repetitionPenalty;
    this.#frequency = frequencyPenalty;
    this.#presence = presencePenalty;
    this.#promptTokens = new Set(repetitionPenalty === 1 ? [] : prompt);
  }

  /** The completion goes on with this token. */
  add(token: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }

  /** The logits [V] that the next token is drawn from: a copy. */
  adjusted(logits: Float32Array): Float32Array {
    const result = logits.slice();
    for (const [token, bias] of this.#bias) result[token]! += bias;
    if (this.#repetition !== 1) {
      for (const token of this.#promptTokens) this.#repel(result, token);
      for (const token of this.#counts.keys()) if (!this.#promptTokens.has(token)) this.#repel(result, token);
    }
    for (const [token, count] of this.#counts) result[token]! -= this.#frequency * count + this.#presence;
    return result;
  }

  #repel(logits: Float32Array, token: number): void {
    const logit = logits[token]!;
    logits[token] = logit > 0 ? logit / this.#repetition : logit * this.#repetition;
  }
}
