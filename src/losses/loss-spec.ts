/**
 * Losses as data. A spec is JSON-serialisable; `losses/` holds the graph of each one. The engine computes
 * Σ_t weight_t · term_t; normalisation (over tokens, sequences, a group) is in the weights, which the trainer computes
 * over the whole optimizer step, so micro-batching cannot change the result.
 */

/** term = −logπ(token). */
export interface CrossEntropyLoss {
  readonly name: "cross_entropy";
}

/**
 * r = exp(logπ − logπ_sampler); term = −min(r·A, clip(r, 1 − clipEpsilon, 1 + clipEpsilonHigh)·A) + klCoef · k3,
 * k3 = exp(logπ_ref − logπ) − (logπ_ref − logπ) − 1. DeepSeekMath (arXiv:2402.03300) eq. 3–4; clip-higher from DAPO
 * (arXiv:2503.14476). Logits are divided by `temperature` before the log-softmax, as the sampler did.
 */
export interface GrpoLoss {
  readonly name: "grpo";
  /** ≥ 0. */
  readonly clipEpsilon: number;
  /** ≥ 0. */
  readonly clipEpsilonHigh: number;
  /** β ≥ 0; 0 leaves the KL term, and the need for reference log-probabilities, out. */
  readonly klCoef: number;
  /** > 0. */
  readonly temperature: number;
}

export type LossSpec = CrossEntropyLoss | GrpoLoss;
