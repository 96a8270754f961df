/**
 * How the loss terms of single tokens become the loss of one optimizer step.
 *
 * The engine only sums weight · term; which mean is taken over tokens and sequences is decided here, over all
 * completions of the optimizer step, so that micro-batches inside the engine cannot change it. The means differ in how
 * much a token of a long completion counts:
 *
 *   grpo, sapo          1 / (N · |o_i|)                 every completion counts the same (DeepSeekMath,
 *   rloo                                                arXiv:2402.03300, eq. 3)
 *   bnpo                1 / Σ_i |o_i|                   every token of the step counts the same
 *   dapo, cispo, vespo  1 / (mean of Σ_i |o_i| over     every token of the iteration counts the same (DAPO,
 *                            the iteration's steps)     arXiv:2503.14476, §3.3)
 *   dr_grpo             1 / (N · maxCompletionTokens)   the same, but a constant: no bias by length (arXiv:2503.20783)
 *   luspo               1 / N                           the sum of a completion's tokens: long ones count more
 *                                                       (arXiv:2602.05261)
 *
 * N is the number of completions of the step, |o_i| that of trained tokens of completion i. rloo's term is one number for
 * a whole completion, which its tokens share.
 *
 * Departures: bnpo's local batch is the whole optimizer step; TRL's is a micro-batch.
 */

import type { LossType } from "../losses/policy-objective.ts";

/** What a mean is taken over besides the step's own completions. */
export interface WeightContext {
  /** Divisor of dr_grpo. */
  readonly maxCompletionTokens: number;
  /** Mean number of trained tokens of the iteration's optimizer steps, the divisor of dapo; this step's if absent. */
  readonly tokensPerStep?: number | undefined;
}

/**
 * The weight of each token of each completion of one optimizer step. `trainedTokens[i]` is the number of tokens that
 * count of completion i, 0 where it is masked: it then weighs nothing but still counts in N.
 */
export function lossWeights(
  lossType: LossType,
  trainedTokens: readonly number[],
  { maxCompletionTokens, tokensPerStep }: WeightContext,
): Float64Array {
  const numCompletions = trainedTokens.length;
  const stepTokens = trainedTokens.reduce((sum, tokens) => sum + tokens, 0);
  return Float64Array.from(trainedTokens, (tokens) => {
    if (tokens === 0) return 0;
    switch (lossType) {
      case "grpo":
      case "sapo":
      case "rloo":
        return 1 / (numCompletions * tokens);
      case "bnpo":
        return 1 / stepTokens;
      case "dapo":
      case "cispo":
      case "vespo":
        return 1 / (tokensPerStep ?? stepTokens);
      case "dr_grpo":
        return 1 / (numCompletions * maxCompletionTokens);
      case "luspo":
        return 1 / numCompletions;
      default:
        return lossType satisfies never;
    }
  });
}
