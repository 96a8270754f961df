/**
 * CISPO (MiniMax-M1, arXiv:2506.13585): −sg(min(r, clipEpsilonHigh))·A·logπ. The capped ratio is a constant before logπ, so
 * every token keeps a gradient. `clipEpsilonHigh` is the cap itself, not its distance from 1.
 */

import { clip, multiply, negate, stopGradient } from "../graph/ops/elementwise.ts";
import { mean } from "../statistics.ts";
import { clipEpsilonHigh } from "./clip.ts";
import { clippedShares } from "./grpo.ts";
import { overIterationTokens } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The cap where none is given: what ScaleRL (arXiv:2510.13786) found best. TRL takes its epsilon, which would cap every
 * ratio at a fifth of what it is on policy. */
const DEFAULT_CAP = 5;

const NO_OTHER_BOUND = "cispo caps the ratio at clipEpsilonHigh and has no other bound";
const TRL_NO_OTHER_BOUND = "cispo caps the ratio with epsilon_high alone";

/** The entry; see the file's header. */
export const cispo = defineLoss({
  name: "cispo",
  summary: "the capped ratio as a constant before logπ; every token of the iteration counts the same",
  citation: "MiniMax-M1, arXiv:2506.13585",
  options: { clipEpsilonHigh },
  mean: overIterationTokens,
  hasConstantWeight: true,
  value: ({ logprob, logRatio, advantage }, { clipEpsilonHigh: cap = DEFAULT_CAP }) => {
    const weight = Math.min(Math.exp(logRatio), cap);
    return { value: -weight * advantage * logprob, byLogprob: -weight * advantage, byLogRatio: 0 };
  },
  graph: ({ logprobs, ratios, advantages }, { clipEpsilonHigh: cap = DEFAULT_CAP }) => {
    const capped = stopGradient(clip(ratios, Number.NEGATIVE_INFINITY, cap));
    return negate(multiply(multiply(capped, advantages), logprobs));
  },
  metrics: (rows, { clipEpsilonHigh: cap = DEFAULT_CAP }) => ({
    cispo_clip_ratio: mean(clippedShares(rows, (ratio, advantage) => ratio > cap && advantage > 0).flat()),
  }),
  unread: { clipEpsilon: NO_OTHER_BOUND, delta: NO_OTHER_BOUND },
  trl: {
    name: "cispo",
    keys: [
      {
        ...{ key: "epsilon_high", option: "clipEpsilonHigh", kind: "positive", note: "the cap itself in cispo" },
        otherwise: { key: "epsilon", fallback: 0.2 },
      },
    ],
    unread: { epsilon: TRL_NO_OTHER_BOUND, delta: TRL_NO_OTHER_BOUND },
  },
});
