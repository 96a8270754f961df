/**
 * The mathematics of a `PolicyObjective`: from the log-probabilities and entropies of a step's completions to its loss and
 * to the slope of the loss by each of them, in double precision. With the slopes an engine that can only differentiate
 * Σ weight · −logπ differentiates any objective, because ∂loss/∂θ = Σ_t slope_t · ∂logπ_t/∂θ: one forward pass for the
 * log-probabilities, one pass with −slope as weights. That is how terms that read a whole sequence or batch are trained,
 * on logits in chunks and on remote engines too.
 *
 *     loss = Σ_t w_t · (m_t · policy_t + β · KL_t) − c · mean_t H_t
 *
 * w is the row's weight (its mean over tokens and sequences, `means.ts`), m what masks and corrects policy
 * terms. A ratio of the whole sequence has Σ_t w_t · ∂term_t/∂log r as its slope, which its tokens share.
 *
 * Departures from TRL: masks and means are over the optimizer step, where TRL's entropy quantile, entropy mean and bnpo
 * are over a micro-batch (the same where there is one to a step).
 */

import { sumOf } from "../statistics.ts";
import { klEstimate } from "./kl.ts";
import type { PolicyLoss } from "./policy-loss.ts";
import type { PolicyObjective } from "./policy-objective.ts";
import { losses } from "./registry.ts";
import { entropyThreshold, sequenceDrift } from "./token-masks.ts";

/** A completion of the step, without its scores under the current policy; arrays are per completion token. */
export interface ObjectiveRow {
  /** Weight of the token's term. A token of weight 0 is ignored everywhere. */
  readonly weights: ArrayLike<number>;
  readonly advantages: ArrayLike<number>;
  /** Of the policy that sampled, as the sampler gave them. */
  readonly samplerLogprobs: ArrayLike<number>;
  /** Of the policy that sampled, as the trainer computes them: the denominators of ratios. `samplerLogprobs` if absent. */
  readonly oldLogprobs?: ArrayLike<number>;
  /** Needed where the loss has a KL term. */
  readonly refLogprobs?: ArrayLike<number>;
  /** ρ of each token (`correctionRatios`); 1 if absent. */
  readonly correction?: ArrayLike<number>;
}

/** The scores of the rows under the current policy. */
export interface PolicyScores {
  readonly logprobs: readonly ArrayLike<number>[];
  /** Nats. Absent where the engine has none: then no objective that reads them can be evaluated. */
  readonly entropies?: readonly ArrayLike<number>[];
}

/** One row, evaluated. Arrays are per completion token; NaN, and 0 in `slopes`, at tokens of weight 0. */
export interface RowTerms {
  /** ∂loss/∂logπ. */
  readonly slopes: Float64Array;
  /** log r, of the token or of its sequence. */
  readonly logRatios: Float64Array;
  /** The KL term, β apart; only where the loss has one. */
  readonly kl?: Float64Array;
  /** Where the loss has a weight of whole sequences. */
  readonly sequenceWeight?: number;
}

/** A step, evaluated. */
export interface ObjectiveValue {
  readonly loss: number;
  /** The loss without the entropy bonus. */
  readonly policyLoss: number;
  readonly rows: readonly RowTerms[];
  /** −∂loss/∂H of each token; only where there is an entropy bonus. */
  readonly entropyWeights?: readonly Float64Array[];
}

/** Loss and slopes of the rows of one optimizer step under these scores. */
export function evaluateObjective(
  objective: PolicyObjective,
  rows: readonly ObjectiveRow[],
  { logprobs, entropies }: PolicyScores,
): ObjectiveValue {
  const tokens = rows.map(({ weights }) => positionsOf(weights));
  const leastEntropy =
    objective.topEntropyQuantile < 1
      ? entropyThreshold(
          tokens.flatMap((positions, i) => positions.map((t) => entropies![i]![t]!)),
          objective.topEntropyQuantile,
        )
      : Number.NEGATIVE_INFINITY;
  const entropyCounts = (i: number, t: number) =>
    leastEntropy === Number.NEGATIVE_INFINITY || Math.fround(entropies![i]![t]!) >= leastEntropy;

  let policyLoss = 0;
  const evaluated = rows.map((row, i) => {
    const { loss, ...terms } = evaluateRow(objective, row, logprobs[i]!, tokens[i]!, (t) => entropyCounts(i, t));
    policyLoss += loss;
    return terms;
  });
  if (objective.entropyCoef === 0) return { loss: policyLoss, policyLoss, rows: evaluated };

  const counted = tokens.map((positions, i) => positions.filter((t) => entropyCounts(i, t)));
  const weight = objective.entropyCoef / Math.max(countOf(counted), 1);
  let bonus = 0;
  const entropyWeights = counted.map((positions, i) => {
    const weights = new Float64Array(rows[i]!.weights.length);
    for (const t of positions) {
      weights[t] = weight;
      bonus += weight * entropies![i]![t]!;
    }
    return weights;
  });
  return { loss: policyLoss - bonus, policyLoss, rows: evaluated, entropyWeights };
}

/** Tokens of the rows that count, in all. */
export function countedTokens(rows: readonly Pick<ObjectiveRow, "weights">[]): number {
  return countOf(rows.map(({ weights }) => positionsOf(weights)));
}

/** Terms and slopes of a row at `positions`; `entropyCounts` says whether a token's policy term does. */
function evaluateRow(
  objective: PolicyObjective,
  row: ObjectiveRow,
  logprobs: ArrayLike<number>,
  positions: readonly number[],
  entropyCounts: (t: number) => boolean,
): RowTerms & { readonly loss: number } {
  const { weights, advantages, samplerLogprobs, refLogprobs, correction } = row;
  const oldLogprobs = row.oldLogprobs ?? samplerLogprobs;
  const loss = losses.get(objective.lossType);
  const options = objective.lossOptions;
  const hasKl = objective.klCoef > 0;
  const at = (values: ArrayLike<number>) => positions.map((t) => values[t]!);
  const ownLogRatios = positions.map((t) => logprobs[t]! - oldLogprobs[t]!);
  const shared = sharedLogRatio(loss, objective, ownLogRatios);
  const corrections = correction ? at(correction) : [];
  const sequence = { logRatios: ownLogRatios, corrections, advantage: advantages[positions[0] ?? 0] ?? 0 };
  const sequenceWeight = loss.sequenceWeight?.(sequence, options);
  const drift = objective.offPolicyMaskThreshold === undefined ? 0 : sequenceDrift(at(logprobs), at(samplerLogprobs));
  const driftBound = objective.offPolicyMaskThreshold ?? Number.POSITIVE_INFINITY;

  const slopes = new Float64Array(weights.length);
  const logRatios = new Float64Array(weights.length).fill(Number.NaN);
  const kl = hasKl ? new Float64Array(weights.length).fill(Number.NaN) : undefined;
  let total = 0;
  let sharedSlope = 0;
  for (const [n, t] of positions.entries()) {
    const weight = weights[t]!;
    const logprob = logprobs[t]!;
    const advantage = advantages[t]!;
    const logRatio = shared?.value ?? ownLogRatios[n]!;
    logRatios[t] = logRatio;
    let byLogRatio = 0;

    const counts = entropyCounts(t) && (advantage >= 0 || drift <= driftBound);
    if (counts) {
      const factor = weight * (sequenceWeight === undefined ? (correction?.[t] ?? 1) : 1);
      const term = loss.value({ logprob, logRatio, advantage, sequenceWeight: sequenceWeight ?? 1 }, options);
      total += factor * term.value;
      slopes[t]! += factor * term.byLogprob;
      byLogRatio += factor * term.byLogRatio;
    }
    if (kl) {
      const estimate = klEstimate(objective.klEstimator, logprob, refLogprobs![t]!);
      const ratio = objective.klBiasCorrection ? Math.exp(logRatio) : 1;
      const factor = weight * objective.klCoef * ratio;
      kl[t] = estimate.value * ratio;
      total += factor * estimate.value;
      slopes[t]! += factor * estimate.byLogprob;
      if (objective.klBiasCorrection) byLogRatio += factor * estimate.value;
    }
    if (shared) sharedSlope += byLogRatio;
    else slopes[t]! += byLogRatio;
  }
  if (shared) for (const t of positions) slopes[t]! += sharedSlope * shared.slope;
  return {
    ...{ loss: total, slopes, logRatios },
    ...(kl && { kl }),
    ...(sequenceWeight !== undefined && { sequenceWeight }),
  };
}

/** The log-ratio that a sequence's tokens share, and its slope by each token's; undefined where each has its own. */
function sharedLogRatio(
  { ratio }: PolicyLoss,
  { importanceSamplingLevel }: PolicyObjective,
  ownLogRatios: readonly number[],
): { readonly value: number; readonly slope: number } | undefined {
  const sum = sumOf(ownLogRatios);
  if (ratio === "product") return { value: sum, slope: 1 };
  if (importanceSamplingLevel === "token") return undefined;
  const slope = 1 / Math.max(ownLogRatios.length, 1);
  return { value: sum * slope, slope };
}

/** Where tokens count: where their weight is not 0. */
export function positionsOf(weights: ArrayLike<number>): number[] {
  const positions: number[] = [];
  for (let t = 0; t < weights.length; t++) if (weights[t] !== 0) positions.push(t);
  return positions;
}

const countOf = (positions: readonly (readonly number[])[]) => positions.reduce((sum, { length }) => sum + length, 0);
