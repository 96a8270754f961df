/** The losses of the reference engine: one token at a time, in double precision. */

import type { Datum } from "../../src/engine/contract/policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { policyObjective } from "../../src/losses/policy-objective.ts";
import { klEstimate, policyTerm } from "../../src/losses/policy-terms.ts";

/** The term of one token under a policy loss and its derivative with respect to logπ (see `loss-spec.ts`). */
export function policyLossTerm(
  logprob: number,
  datum: Datum,
  t: number,
  loss: Exclude<LossSpec, { name: "cross_entropy" }>,
): { term: number; slope: number } {
  const objective = policyObjective({ ...loss, lossType: loss.name });
  const logRatio = logprob - datum.samplerLogprobs![t]!;
  const { value, byLogprob, byLogRatio } = policyTerm(objective, logprob, logRatio, datum.advantages![t]!);
  if (loss.klCoef === 0) return { term: value, slope: byLogprob + byLogRatio };
  const kl = klEstimate(objective.klEstimator, logprob, datum.refLogprobs![t]!);
  const factor = loss.klCoef * (loss.klBiasCorrection ? Math.exp(logRatio) : 1);
  const klSlope = kl.byLogprob + (loss.klBiasCorrection ? kl.value : 0);
  return { term: value + factor * kl.value, slope: byLogprob + byLogRatio + factor * klSlope };
}
