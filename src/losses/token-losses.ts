/**
 * The graph of each loss: from per-token log-probabilities to per-token terms. What the names mean is in `loss-spec.ts`;
 * the sum over tokens, with its weights, is the engine's.
 */

import { add, clip, exponential, minimum, multiply, negate, scale, subtract } from "../graph/ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { LossSpec } from "./loss-spec.ts";

/** Per-token data that a loss may read besides the policy's log-probabilities. */
export type LossInputName = "advantages" | "samplerLogprobs" | "refLogprobs";

/** Which per-token data a loss reads. */
export function lossInputs(loss: LossSpec): readonly LossInputName[] {
  switch (loss.name) {
    case "cross_entropy":
      return [];
    case "grpo":
      return loss.klCoef > 0 ? ["advantages", "samplerLogprobs", "refLogprobs"] : ["advantages", "samplerLogprobs"];
    default:
      return loss satisfies never;
  }
}

/** Per-token loss terms [N] of log-probabilities [N]; `input` gives the per-token data by name, each [N]. */
export function tokenLoss(loss: LossSpec, logprobs: Tensor, input: (name: LossInputName) => Tensor): Tensor {
  switch (loss.name) {
    case "cross_entropy":
      return negate(logprobs);
    case "grpo": {
      const ratio = exponential(subtract(logprobs, input("samplerLogprobs")));
      const clipped = clip(ratio, 1 - loss.clipEpsilon, 1 + loss.clipEpsilonHigh);
      const advantages = input("advantages");
      const objective = minimum(multiply(ratio, advantages), multiply(clipped, advantages));
      if (loss.klCoef === 0) return negate(objective);
      return subtract(scale(klPenalty(logprobs, input("refLogprobs")), loss.klCoef), objective);
    }
    default:
      return loss satisfies never;
  }
}

/**
 * The k3 estimator of KL(π ‖ π_ref) per token, exp(d) − d − 1 with d = logπ_ref − logπ: unbiased and never negative
 * (Schulman, "Approximating KL Divergence", 2020; DeepSeekMath eq. 4).
 */
function klPenalty(logprobs: Tensor, refLogprobs: Tensor): Tensor {
  const difference = subtract(refLogprobs, logprobs);
  return add(subtract(exponential(difference), difference), logprobs.graph.scalar(-1));
}
