/**
 * The gradient of a policy objective, by whatever losses the engine has.
 *
 * An objective whose terms read one token each is an engine's loss, and one pass computes it. One whose terms read a
 * sequence or the batch takes two: the log-probabilities first, and from them the loss and its slope by each; then
 * Σ slope_t · logπ_t, which is cross-entropy with −slope_t as weights, has the same gradient (`forward_backward_custom`
 * of the Tinker API does so too). That costs one forward pass more, works on every engine that has cross-entropy, and with
 * logits in chunks.
 *
 * An adapter's dropout is off in a forward pass, so with dropout the slopes of the second way are those at the mean policy.
 * Noise on embeddings is a part of an engine's loss, and there is none in the second way: `checkGrpo` refuses it there.
 */

import type { Datum, ForwardBackwardResult, OptimStepResult, Policy } from "../../engine/contract/policy.ts";
import type { ScoreDatum } from "../../engine/contract/sampler.ts";
import {
  countedTokens,
  evaluateObjective,
  type ObjectiveRow,
  type ObjectiveValue,
  type PolicyScores,
} from "../../losses/evaluate-objective.ts";
import type { CrossEntropyLoss, LossSpec } from "../../losses/loss-spec.ts";
import { type PolicyObjective, tokenLossOf } from "../../losses/policy-objective.ts";

/** A completion to learn from: its tokens, and what the objective reads of them. */
export interface UpdateRow extends ObjectiveRow, ScoreDatum {}

/** The inputs and results of one update, for metrics. */
export interface PolicyUpdate extends Partial<OptimStepResult> {
  readonly loss: number;
  readonly value: ObjectiveValue;
  /** Of the policy as it was when the gradient was computed. */
  readonly scores: PolicyScores;
  /** False where every slope is zero: nothing was trained on. */
  readonly hasGradient: boolean;
}

/** Trains on data by a loss: a verb of the engine, `forwardBackward` alone or `step`. */
export type TrainOn = (
  data: readonly Datum[],
  loss: LossSpec,
) => Promise<ForwardBackwardResult & Partial<OptimStepResult>>;

/** Trains on the objective over `rows`, at least one. */
export async function policyUpdate(
  engine: Policy,
  rows: readonly UpdateRow[],
  objective: PolicyObjective,
  trainOn: TrainOn,
): Promise<PolicyUpdate> {
  const own = tokenLossOf(objective);
  if (own && engine.capabilities.losses.includes(own.name)) {
    const { gradNorm, applied, lossScale, ...scores } = await trainOn(tokenLossData(rows, objective), own);
    const value = evaluateObjective(objective, rows, scores);
    return { loss: value.loss, value, scores, hasGradient: true, ...optimStep({ gradNorm, applied, lossScale }) };
  }
  const { temperature } = objective;
  const scores = await engine.score(rows, { temperature });
  const value = evaluateObjective(objective, rows, scores);
  const data = slopeData(rows, value);
  const linear: CrossEntropyLoss = {
    name: "cross_entropy",
    temperature,
    ...(value.entropyWeights && { entropyBonus: true }),
  };
  const hasGradient = data.length > 0;
  return { loss: value.loss, value, scores, hasGradient, ...(hasGradient && optimStep(await trainOn(data, linear))) };
}

/** What was said of the optimizer step, where one was taken. */
function optimStep({
  gradNorm,
  applied,
  lossScale,
}: {
  readonly gradNorm?: number | undefined;
  readonly applied?: boolean | undefined;
  readonly lossScale?: number | undefined;
}): Partial<OptimStepResult> {
  return {
    ...(gradNorm !== undefined && { gradNorm }),
    ...(applied !== undefined && { applied }),
    ...(lossScale !== undefined && { lossScale }),
  };
}

/** Data for the engine's own loss. Policy terms are proportional to the advantage, so corrections go in there. */
function tokenLossData(rows: readonly UpdateRow[], { entropyCoef }: PolicyObjective): Datum[] {
  const entropyWeight = entropyCoef / Math.max(countedTokens(rows), 1);
  return rows.map((row) => ({
    promptTokens: row.promptTokens,
    completionTokens: row.completionTokens,
    weights: Float32Array.from(row.weights),
    advantages: Float32Array.from(row.advantages, (advantage, t) => advantage * (row.correction?.[t] ?? 1)),
    samplerLogprobs: Float32Array.from(row.oldLogprobs ?? row.samplerLogprobs),
    ...(row.keptTokens && { keptTokens: row.keptTokens }),
    ...(row.refLogprobs && { refLogprobs: Float32Array.from(row.refLogprobs) }),
    ...(entropyCoef !== 0 && {
      entropyWeights: Float32Array.from(row.weights, (weight) => (weight === 0 ? 0 : entropyWeight)),
    }),
  }));
}

/** Data whose cross-entropy has the objective's gradient; rows without slope are left out. */
function slopeData(rows: readonly UpdateRow[], { rows: terms, entropyWeights }: ObjectiveValue): Datum[] {
  return rows.flatMap(({ promptTokens, completionTokens, keptTokens }, i) => {
    const slopes = terms[i]!.slopes;
    const bonus = entropyWeights?.[i];
    if (slopes.every((slope) => slope === 0) && (bonus?.every((weight) => weight === 0) ?? true)) return [];
    const weights = Float32Array.from(slopes, (slope) => -slope);
    return {
      ...{ promptTokens, completionTokens, weights },
      ...(keptTokens && { keptTokens }),
      ...(bonus && { entropyWeights: Float32Array.from(bonus) }),
    };
  });
}
