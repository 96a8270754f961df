/**
 * The loss of reward models. Bradley and Terry (1952): the odds that one of two answers is preferred are those of their
 * strengths, P(chosen ≻ rejected) = σ(r_chosen − r_rejected); its negative logarithm is the loss of InstructGPT
 * (arXiv:2203.02155, eq. 1), where each pair of a comparison counts alike.
 *
 * Only differences of rewards matter to it. Where rewards should be about 0 on average, the centring term
 * c·(r_chosen + r_rejected)² (Eisenstein et al., arXiv:2312.09244, §2; TRL's `center_rewards_coefficient`) holds them there.
 */

import { expand, sum } from "../graph/ops/broadcast.ts";
import { add, multiply, subtract } from "../graph/ops/elementwise.ts";
import { concat } from "../graph/ops/join.ts";
import { logSumExp } from "../graph/ops/normalize.ts";
import { reshape } from "../graph/ops/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/** What the loss reads besides the two rewards of each pair. */
export interface BradleyTerryInputs {
  readonly chosen: Tensor; // [Q]
  readonly rejected: Tensor; // [Q]
  /** Normalisation included: the loss only sums. */
  readonly weights: Tensor; // [Q]
  /** c; 0 is no centring. */
  readonly centering: Tensor; // []
}

/** Σ weight · (−ln σ(r_chosen − r_rejected) + c·(r_chosen + r_rejected)²), a scalar. */
export function bradleyTerryLoss({ chosen, rejected, weights, centering }: BradleyTerryInputs): Tensor {
  const count = chosen.shape[0]!;
  const column = (x: Tensor) => reshape(x, [count, 1]);
  const difference = column(subtract(rejected, chosen));
  // −ln σ(x) = ln(e^0 + e^−x): finite for every x.
  const zero = expand(chosen.graph.scalar(0), [count, 1]);
  const terms = reshape(logSumExp(concat([zero, difference], 1)), [count]);
  const total = add(chosen, rejected);
  return sum(multiply(add(terms, multiply(multiply(total, total), centering)), weights));
}

/** Statistics of a reward model on pairs: means over the pairs. */
export interface PairStatistics {
  /** −ln σ(r_chosen − r_rejected), without centring. */
  readonly loss: number;
  /** Share of pairs in which the chosen answer has the higher reward; equal rewards count half. */
  readonly accuracy: number;
  /** r_chosen − r_rejected. */
  readonly margin: number;
  readonly meanReward: number;
  readonly minReward: number;
  readonly maxReward: number;
}

/** The statistics of pairs, at least one, by their rewards. */
export function pairStatistics(chosen: ArrayLike<number>, rejected: ArrayLike<number>): PairStatistics {
  const count = chosen.length;
  let [loss, right, margin, total] = [0, 0, 0, 0];
  let [minReward, maxReward] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < count; i++) {
    const [better, worse] = [chosen[i]!, rejected[i]!];
    const difference = better - worse;
    loss += Math.log1p(Math.exp(-Math.abs(difference))) + Math.max(0, -difference);
    right += difference > 0 ? 1 : difference === 0 ? 0.5 : 0;
    margin += difference;
    total += better + worse;
    minReward = Math.min(minReward, better, worse);
    maxReward = Math.max(maxReward, better, worse);
  }
  return {
    loss: loss / count,
    accuracy: right / count,
    margin: margin / count,
    meanReward: total / (2 * count),
    minReward,
    maxReward,
  };
}
