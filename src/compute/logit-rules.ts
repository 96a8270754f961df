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

/** The logits that the rules change, by token; `logitOf` gives those of the model. */
export function adjusted(logitOf: (token: number) => number, rules: LogitRules): Map<number, number> {
  const { bias, repetitionPenalty, frequencyPenalty, presencePenalty, promptTokens, counts } = rules;
  const changed = new Map<number, number>();
  const change = (token: number, by: (logit: number) => number) => {
    changed.set(token, Math.fround(by(changed.get(token) ?? logitOf(token))));
  };
  for (const [token, added] of bias) change(token, (logit) => logit + added);
  if (repetitionPenalty !== 1) {
    const repel = (logit: number) => (logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty);
    for (const token of promptTokens) change(token, repel);
    for (const token of counts.keys()) if (!promptTokens.has(token)) change(token, repel);
  }
  for (const [token, count] of counts) change(token, (logit) => logit - (frequencyPenalty * count + presencePenalty));
  return changed;
}
