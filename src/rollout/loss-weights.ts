/**
 * How the loss terms of single tokens become the loss of one optimizer step.
 *
 * The engine only sums weight · term; which mean is taken over tokens and sequences is decided here, over all
 * completions of the optimizer step, so that micro-batches inside the engine cannot change it. The three means differ in
 * how much a token of a long completion counts:
 *
 *   grpo      1 / (N · |o_i|)                 every completion counts the same (DeepSeekMath, arXiv:2402.03300, eq. 3)
 *   dapo      1 / Σ_i |o_i|                   every token counts the same (DAPO, arXiv:2503.14476, §3.3)
 *   dr_grpo   1 / (N · maxCompletionTokens)   the same, but a constant: no bias by length (arXiv:2503.20783)
 *
 * N is the number of completions of the step, |o_i| that of trained tokens of completion i.
 *
 * Departures: where an iteration is split into several optimizer steps, dapo counts the tokens of its own step; TRL
 * counts those of the whole generation batch, which makes each step smaller the more of them there are.
 */

/** Names of the means, as TRL's `loss_type` has them. */
export const LOSS_TYPES = ["grpo", "dapo", "dr_grpo"] as const;

export type LossType = (typeof LOSS_TYPES)[number];

/**
 * The weight of each token of each completion of one optimizer step. `trainedTokens[i]` is the completion's length, or 0
 * where it is masked: it then weighs nothing but still counts in N.
 */
export function lossWeights(
  lossType: LossType,
  trainedTokens: readonly number[],
  maxCompletionTokens: number,
): Float64Array {
  const numCompletions = trainedTokens.length;
  const totalTokens = trainedTokens.reduce((sum, tokens) => sum + tokens, 0);
  return Float64Array.from(trainedTokens, (tokens) => {
    if (tokens === 0) return 0;
    switch (lossType) {
      case "grpo":
        return 1 / (numCompletions * tokens);
      case "dapo":
        return 1 / totalTokens;
      case "dr_grpo":
        return 1 / (numCompletions * maxCompletionTokens);
      default:
        return lossType satisfies never;
    }
  });
}
