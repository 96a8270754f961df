/**
 * Estimators of KL(π ‖ π_ref) from one sample, with d = logπ_ref − logπ (Schulman, "Approximating KL Divergence", 2020):
 * k1 = −d, k2 = d²/2, k3 = e^d − d − 1. The last two are never negative. As numbers and as a graph.
 */

import { add, exponential, multiply, negate, scale, subtract } from "../graph/ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Names of the estimators. */
export const KL_ESTIMATORS = ["k1", "k2", "k3"] as const;

export type KlEstimator = (typeof KL_ESTIMATORS)[number];

/** The estimate at a token and its slope by logπ. */
export function klEstimate(
  estimator: KlEstimator,
  logprob: number,
  refLogprob: number,
): { readonly value: number; readonly byLogprob: number } {
  const difference = refLogprob - logprob;
  switch (estimator) {
    case "k1":
      return { value: -difference, byLogprob: 1 };
    case "k2":
      return { value: difference ** 2 / 2, byLogprob: -difference };
    case "k3": {
      const odds = Math.exp(difference);
      return { value: odds - difference - 1, byLogprob: 1 - odds };
    }
    default:
      return estimator satisfies never;
  }
}

/** The estimates of tokens with log-probabilities [N], [N]. */
export function klPenalty(estimator: KlEstimator, logprobs: Tensor, refLogprobs: Tensor): Tensor {
  const difference = subtract(refLogprobs, logprobs);
  switch (estimator) {
    case "k1":
      return negate(difference);
    case "k2":
      return scale(multiply(difference, difference), 0.5);
    case "k3":
      return add(subtract(exponential(difference), difference), logprobs.graph.scalar(-1));
    default:
      return estimator satisfies never;
  }
}
