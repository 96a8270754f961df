/**
 * The terms of policy-gradient losses as numbers: value and slope of each, in double precision. `token-losses.ts` has the
 * same formulas as graphs, for losses that an engine computes in one pass; here they also serve losses whose ratio is the
 * sequence's, so slopes are taken apart: by the token's own logπ, and by the logarithm of the ratio, whoever's it is.
 */

import type { KlEstimator } from "./loss-spec.ts";
import { type PolicyObjective, upperClip } from "./policy-objective.ts";

/** The value of a term and its partial derivatives. */
export interface Term {
  readonly value: number;
  /** ∂/∂logπ(token), the ratio held fixed. */
  readonly byLogprob: number;
  /** ∂/∂log r. */
  readonly byLogRatio: number;
}

/** The policy term of a token with log-probability `logprob`, ratio r = e^`logRatio` and advantage A. `sequenceWeight` is
 * vespo's φ, which `sequenceGamma` gives. Formulas in `loss-spec.ts` and `policy-objective.ts`. */
export function policyTerm(
  objective: PolicyObjective,
  logprob: number,
  logRatio: number,
  advantage: number,
  sequenceWeight = 1,
): Term {
  const ratio = Math.exp(logRatio);
  switch (objective.lossType) {
    case "grpo":
    case "bnpo":
    case "dr_grpo":
    case "dapo":
    case "luspo":
    case "rloo":
      return clippedTerm(objective, ratio, advantage);
    case "cispo":
      return constantWeightTerm(Math.min(ratio, upperClip(objective)), advantage, logprob);
    case "vespo":
      return constantWeightTerm(sequenceWeight, advantage, logprob);
    case "sapo": {
      const temperature = advantage > 0 ? objective.sapoTemperaturePos : objective.sapoTemperatureNeg;
      const gate = 1 / (1 + Math.exp(-temperature * (ratio - 1)));
      // gate · (1 − gate) is 0 before an overflowing ratio is infinite.
      const slope = gate === 1 ? 0 : gate * (1 - gate) * ratio;
      return { value: (-4 / temperature) * gate * advantage, byLogprob: 0, byLogRatio: -4 * slope * advantage };
    }
    default:
      return objective.lossType satisfies never;
  }
}

/** −min(min(r, δ)·A, clip(r)·A). */
function clippedTerm(objective: PolicyObjective, ratio: number, advantage: number): Term {
  const [low, high] = [1 - objective.clipEpsilon, 1 + upperClip(objective)];
  const bound = objective.delta ?? Number.POSITIVE_INFINITY;
  const bounded = Math.min(ratio, bound);
  const clipped = Math.min(Math.max(ratio, low), high);
  const boundedCounts = bounded * advantage <= clipped * advantage;
  const moves = boundedCounts ? ratio <= bound : ratio >= low && ratio <= high;
  const value = -(boundedCounts ? bounded : clipped) * advantage;
  return { value, byLogprob: 0, byLogRatio: moves ? -ratio * advantage : 0 };
}

/** −weight·A·logπ, the weight a constant. */
function constantWeightTerm(weight: number, advantage: number, logprob: number): Term {
  return { value: -weight * advantage * logprob, byLogprob: -weight * advantage, byLogRatio: 0 };
}

/**
 * The estimate of KL(π ‖ π_ref) at a token, d = logπ_ref − logπ, and its slope by logπ: k1 = −d, k2 = d²/2,
 * k3 = e^d − d − 1. The last two are never negative.
 */
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

/** Bounds of a token's log-ratio and of the sequence's, as TRL has them. */
const MAX_LOG_WEIGHT = 20;
const MIN_LOG_WEIGHT = Math.log(1e-8);

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

/**
 * vespo's weight of a sequence, φ = e^λ · w^k · e^−λw, 1 at w = 1, with w = Π_t r_t · Π_t ρ_t (arXiv:2602.10693). Each
 * log r_t is clamped to ±20, each log ρ_t and log w to [log 1e-8, 20]. `logRatios` and `corrections` are those of the
 * sequence's tokens.
 */
export function sequenceGamma(
  objective: PolicyObjective,
  logRatios: readonly number[],
  corrections: readonly number[],
  advantage: number,
): number {
  const [k, lambda] =
    advantage >= 0 ? [objective.vespoKPos, objective.vespoLambdaPos] : [objective.vespoKNeg, objective.vespoLambdaNeg];
  const decay = Math.max(lambda, 1e-4);
  let logWeight = 0;
  for (const logRatio of logRatios) logWeight += clamp(logRatio, -MAX_LOG_WEIGHT, MAX_LOG_WEIGHT);
  for (const correction of corrections) logWeight += clamp(Math.log(correction), MIN_LOG_WEIGHT, MAX_LOG_WEIGHT);
  const bounded = clamp(logWeight, MIN_LOG_WEIGHT, MAX_LOG_WEIGHT);
  return Math.exp(decay + k * bounded - decay * Math.exp(bounded));
}
