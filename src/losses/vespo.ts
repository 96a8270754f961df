/**
 * VESPO (arXiv:2602.10693): −φ·A·logπ, φ a smooth weight of the whole completion, a constant to the gradient:
 * φ = e^λ · w^k · e^−λw, 1 at w = 1, with w = Π_t r_t · Π_t ρ_t; k and λ differ by the sign of the advantage. Each log r_t is
 * clamped to ±20, each log ρ_t and log w to [log 1e-8, 20], as in TRL.
 */

import { z } from "zod";
import { mean } from "../statistics.ts";
import { trlWithoutClip, withoutClip } from "./clip.ts";
import { overIterationTokens } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** Bounds of a token's log-ratio and of the sequence's. */
const MAX_LOG_WEIGHT = 20;
const MIN_LOG_WEIGHT = Math.log(1e-8);

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);

/** The entry; see the file's header. */
export const vespo = defineLoss({
  name: "vespo",
  summary: "a smooth weight of the completion's ratio before logπ; every token of the iteration counts the same",
  citation: "VESPO, arXiv:2602.10693",
  options: {
    vespoKPos: z.number().min(0).default(2).describe("vespo: exponent k where the advantage is ≥ 0"),
    vespoLambdaPos: z.number().min(0).default(3).describe("vespo: decay λ there"),
    vespoKNeg: z.number().min(0).default(3).describe("vespo: exponent k where the advantage is < 0"),
    vespoLambdaNeg: z.number().min(0).default(2).describe("vespo: decay λ there"),
  },
  mean: overIterationTokens,
  hasConstantWeight: true,
  value: ({ logprob, advantage, sequenceWeight }) => ({
    value: -sequenceWeight * advantage * logprob,
    byLogprob: -sequenceWeight * advantage,
    byLogRatio: 0,
  }),
  sequenceWeight: ({ logRatios, corrections, advantage }, options) => {
    const [k, lambda] =
      advantage >= 0 ? [options.vespoKPos, options.vespoLambdaPos] : [options.vespoKNeg, options.vespoLambdaNeg];
    const decay = Math.max(lambda, 1e-4);
    let logWeight = 0;
    for (const logRatio of logRatios) logWeight += clamp(logRatio, -MAX_LOG_WEIGHT, MAX_LOG_WEIGHT);
    for (const correction of corrections) logWeight += clamp(Math.log(correction), MIN_LOG_WEIGHT, MAX_LOG_WEIGHT);
    const bounded = clamp(logWeight, MIN_LOG_WEIGHT, MAX_LOG_WEIGHT);
    return Math.exp(decay + k * bounded - decay * Math.exp(bounded));
  },
  metrics: (rows) => ({ "vespo/phi_seq_mean": mean(rows.map(({ sequenceWeight }) => sequenceWeight!)) }),
  unread: {
    ...withoutClip("vespo has a smooth weight in place of the clip (vespoKPos and its like)"),
    importanceSamplingLevel: "vespo takes the ratio of whole completions by itself",
  },
  issues: (_, { samplerCorrection }) =>
    samplerCorrection.startsWith("sequence")
      ? [
          {
            key: "samplerCorrection",
            message: `vespo takes corrections per token (token_truncate, token_mask), not ${samplerCorrection}`,
          },
        ]
      : [],
  trl: {
    name: "vespo",
    keys: [
      { key: "vespo_k_neg", option: "vespoKNeg", kind: "notNegative" },
      { key: "vespo_k_pos", option: "vespoKPos", kind: "notNegative" },
      { key: "vespo_lambda_neg", option: "vespoLambdaNeg", kind: "notNegative" },
      { key: "vespo_lambda_pos", option: "vespoLambdaPos", kind: "notNegative" },
    ],
    unread: {
      ...trlWithoutClip("vespo"),
      importance_sampling_level: "vespo takes the ratio of whole completions by itself",
    },
  },
});
