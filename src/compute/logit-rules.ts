/**
 * Biases and penalties: what is added to and taken from logits before a draw.
 *
 * With c(v) the times that the completion has token v so far, a logit z becomes in this order
 *
 *     z + bias(v);   z > 0 ? z / r : z · r, where prompt or completion has v;   z − frequency · c(v) − presence · [c(v) > 0]
 *
 * Formulas: OpenAI's API reference for frequency and presence, CTRL (Keskar et al., arXiv:1909.05858, §4.1) for r, in
 * transformers' form, which also pushes negative logits down. The order is vLLM's.
 */

export interface LogitRules {
  readonly bias: ReadonlyMap<number, number>;
  /** r; 1 is off. */
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** Tokens that the prompt has; only r reads them. */
  readonly promptTokens: ReadonlySet<number>;
  /** c: how often the completion has each of its tokens. */
  readonly counts: ReadonlyMap<number, number>;
}

/** The logits [V] that a token is drawn from: a copy. */
export function adjusted(logits: Float32Array, rules: LogitRules): Float32Array {
  const { bias, repetitionPenalty, frequencyPenalty, presencePenalty, promptTokens, counts } = rules;
  const result = logits.slice();
  for (const [token, added] of bias) result[token]! += added;
  if (repetitionPenalty !== 1) {
    const repel = (token: number) => {
      const logit = result[token]!;
      result[token] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    };
    for (const token of promptTokens) repel(token);
    for (const token of counts.keys()) if (!promptTokens.has(token)) repel(token);
  }
  for (const [token, count] of counts) result[token]! -= frequencyPenalty * count + presencePenalty;
  return result;
}
