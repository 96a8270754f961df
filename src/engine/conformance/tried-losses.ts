/** What the checks of training share: the losses that an engine offers, and what their formulas say. */

import { z } from "zod";
import { tokenTerm } from "../../losses/engine-losses.ts";
import { KL_ESTIMATORS } from "../../losses/kl.ts";
import { type LossSpec, lossTemperature, type PolicyLossSpec } from "../../losses/loss-spec.ts";
import { losses } from "../../losses/registry.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import type { ScoreResult } from "../contract/sampler.ts";
import { gradientDescent } from "./subject.ts";

/** The loss that every engine has which can be trained. */
export const CROSS_ENTROPY_LOSS: LossSpec = { name: "cross_entropy" };
/** Of sums in f32, in another order. */
export const ROUNDING = 1e-5;

/** The policy losses that the engine offers, each with its default options and without a KL term. */
export function policyLosses({ capabilities }: Policy): PolicyLossSpec[] {
  const known = capabilities.losses.filter((name) => losses.find(name) !== undefined);
  return known.map((name) => ({ name, klCoef: 0, temperature: 1 }));
}

/** What the losses that the engine offers are tried with: every option of their own, every KL estimator, the entropy bonus. */
export function offered(engine: Policy): LossSpec[] {
  const { losses: names, entropyBonus, scoringTemperature } = engine.capabilities;
  const bonus = entropyBonus && { entropyBonus };
  const policy = policyLosses(engine);
  const withKl = KL_ESTIMATORS.flatMap((klEstimator, i): LossSpec[] => {
    const loss = policy[i % policy.length];
    if (loss === undefined) return [];
    return [
      { ...loss, ...otherOptions(loss.name), klCoef: 0.3, temperature: 0.7, klEstimator, klBiasCorrection: i < 2 },
    ];
  });
  const tried: LossSpec[] = [
    CROSS_ENTROPY_LOSS,
    { ...CROSS_ENTROPY_LOSS, temperature: 0.7, ...bonus },
    ...policy,
    ...withKl,
  ];
  if (withKl[0]) tried.push({ ...withKl[0], temperature: 1.3, ...bonus });
  return tried
    .filter(({ name }) => names.includes(name))
    .map((loss) => (scoringTemperature ? loss : { ...loss, temperature: 1 }));
}

/**
 * Options of a loss that are not its defaults: 1.5 times the default, and a bound of 1.08 where the default is no
 * bound.
 */
function otherOptions(name: string): Record<string, number> {
  const values = Object.entries(losses.get(name).options).flatMap(([key, schema]) => {
    const fallback = z.safeParse(schema, undefined).data;
    const other = typeof fallback === "number" ? 1.5 * fallback : 1.08;
    return z.safeParse(schema, other).success ? [[key, other] as const] : [];
  });
  return Object.fromEntries(values);
}

/** A loss at these log-probabilities and entropies, and its slope by each log-probability, by the formulas as numbers. */
export function lossOf(data: readonly Datum[], { logprobs, entropies }: ScoreResult, loss: LossSpec) {
  let total = 0;
  const slopes = data.map((datum, i) =>
    datum.weights.map((weight, t) => {
      if (loss.entropyBonus) total -= datum.entropyWeights![t]! * entropies![i]![t]!;
      const { value, slope } = tokenTerm(loss, {
        logprob: logprobs[i]![t]!,
        advantage: datum.advantages![t]!,
        samplerLogprob: datum.samplerLogprobs![t]!,
        refLogprob: datum.refLogprobs![t]!,
      });
      total += weight * value;
      return weight * slope;
    }),
  );
  return { total, slopes };
}

/** The norm of the gradient of these calls, one after another, without a change of weights. */
export async function gradientNorm(engine: Policy, loss: LossSpec, ...calls: (readonly Datum[])[]): Promise<number> {
  for (const data of calls) await engine.forwardBackward(data, loss);
  return (await engine.optimStep(gradientDescent(0))).gradNorm!;
}

/** The data with other weights, of tokens and of entropies. */
export const withWeights = (data: readonly Datum[], weight: (w: number) => number): Datum[] =>
  data.map((datum) => ({
    ...datum,
    weights: datum.weights.map(weight),
    entropyWeights: datum.entropyWeights!.map(weight),
  }));

/**
 * The data with sampler and reference near the policy, as in training: ratios stay inside the clip, where the loss is
 * smooth, and neither the ratios nor the KL term dominate the loss.
 */
export async function nearPolicy(engine: Policy, data: readonly Datum[], loss: LossSpec): Promise<Datum[]> {
  const temperature = lossTemperature(loss);
  const { logprobs } = await engine.score(data, { temperature });
  return data.map((datum, i) => ({
    ...datum,
    samplerLogprobs: logprobs[i]!.map((logprob, t) => logprob + (t % 2 === 0 ? 0.1 : -0.1)),
    refLogprobs: logprobs[i]!.map((logprob, t) => logprob + (t % 3 === 0 ? 0.4 : -0.3)),
  }));
}
