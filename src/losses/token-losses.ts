/**
 * The graph of each loss: from per-token log-probabilities to per-token terms. What the names mean is in `loss-spec.ts`;
 * the sum over tokens, with its weights, is the engine's.
 */

import {
  add,
  clip,
  divide,
  exponential,
  lessOrEqual,
  minimum,
  multiply,
  negate,
  scale,
  stopGradient,
  subtract,
} from "../graph/ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { KlEstimator, LossSpec, SapoLoss } from "./loss-spec.ts";

/** Per-token data that a loss may read besides the policy's log-probabilities and its weight. */
export type LossInputName = "advantages" | "samplerLogprobs" | "refLogprobs";

/** Which per-token data the terms of a loss read. */
export function lossInputs(loss: LossSpec): readonly LossInputName[] {
  if (loss.name === "cross_entropy") return [];
  return loss.klCoef > 0 ? ["advantages", "samplerLogprobs", "refLogprobs"] : ["advantages", "samplerLogprobs"];
}

/** e^80 is a number in f32, and e^89 is not: its product with a gradient of zero would be NaN. */
const MAX_LOG_RATIO = 80;

/** Per-token loss terms [N] of log-probabilities [N]; `input` gives the per-token data by name, each [N]. */
export function tokenLoss(loss: LossSpec, logprobs: Tensor, input: (name: LossInputName) => Tensor): Tensor {
  if (loss.name === "cross_entropy") return negate(logprobs);
  const logRatio = subtract(logprobs, input("samplerLogprobs"));
  const ratio = exponential(clip(logRatio, Number.NEGATIVE_INFINITY, MAX_LOG_RATIO));
  const objective = policyObjective(loss, logprobs, ratio, input("advantages"));
  if (loss.klCoef === 0) return negate(objective);
  const penalty = klPenalty(loss.klEstimator ?? "k3", logprobs, input("refLogprobs"));
  return subtract(scale(loss.klBiasCorrection ? multiply(penalty, ratio) : penalty, loss.klCoef), objective);
}

/** What is to be made large: the negative of the policy term. */
function policyObjective(
  loss: Exclude<LossSpec, { name: "cross_entropy" }>,
  logprobs: Tensor,
  ratio: Tensor,
  advantages: Tensor,
): Tensor {
  switch (loss.name) {
    case "grpo": {
      const clipped = clip(ratio, 1 - loss.clipEpsilon, 1 + loss.clipEpsilonHigh);
      const bounded = loss.delta === undefined ? ratio : clip(ratio, Number.NEGATIVE_INFINITY, loss.delta);
      return minimum(multiply(bounded, advantages), multiply(clipped, advantages));
    }
    case "cispo": {
      const capped = stopGradient(clip(ratio, Number.NEGATIVE_INFINITY, loss.clipEpsilonHigh));
      return multiply(multiply(capped, advantages), logprobs);
    }
    case "sapo": {
      const temperature = sapoTemperatures(loss, advantages);
      const one = ratio.graph.scalar(1);
      // σ(x) = 1 / (1 + e^−x), x = τ(r − 1) ≥ −τ.
      const odds = exponential(negate(multiply(temperature, subtract(ratio, one))));
      const gate = divide(one, add(one, odds));
      return multiply(divide(scale(gate, 4), temperature), advantages);
    }
    default:
      return loss satisfies never;
  }
}

/** τ of each token: that of positive advantages, or the other. */
function sapoTemperatures({ sapoTemperaturePos, sapoTemperatureNeg }: SapoLoss, advantages: Tensor): Tensor {
  const { graph } = advantages;
  const isNotPositive = lessOrEqual(advantages, graph.scalar(0));
  return add(scale(isNotPositive, sapoTemperatureNeg - sapoTemperaturePos), graph.scalar(sapoTemperaturePos));
}

/** The estimate of KL(π ‖ π_ref) of each token. */
function klPenalty(estimator: KlEstimator, logprobs: Tensor, refLogprobs: Tensor): Tensor {
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
