/** The weight of each token in the loss of one optimizer step, by the mean that the loss takes (`losses/means.ts`). */

import { losses } from "../losses/registry.ts";
import { sumOf } from "../statistics.ts";

/** What a mean is taken over besides the step's own completions. */
export interface WeightContext {
  /** The most tokens that a completion may have. */
  readonly maxCompletionTokens: number;
  /** Mean number of trained tokens of the iteration's optimizer steps; this step's if absent. */
  readonly tokensPerStep?: number | undefined;
}

/**
 * The weight of each token of each completion of one optimizer step. `trainedTokens[i]` is the number of tokens that
 * count of completion i, 0 where it is masked: it then weighs nothing but still counts among the completions.
 */
export function lossWeights(
  lossType: string,
  trainedTokens: readonly number[],
  { maxCompletionTokens, tokensPerStep }: WeightContext,
): Float64Array {
  const { mean } = losses.get(lossType);
  const numCompletions = trainedTokens.length;
  const stepTokens = sumOf(trainedTokens);
  const step = { numCompletions, stepTokens, tokensPerStep: tokensPerStep ?? stepTokens, maxCompletionTokens };
  return Float64Array.from(trainedTokens, (tokens) => (tokens === 0 ? 0 : mean({ ...step, tokens })));
}
