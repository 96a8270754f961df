/**
 * GRPO's policy term, −min(min(r, delta)·A, clip(r, 1 − clipEpsilon, 1 + clipEpsilonHigh)·A): PPO's objective as
 * DeepSeekMath (arXiv:2402.03300) eq. 3 has it, every completion counting the same. Clip-higher is from DAPO
 * (arXiv:2503.14476), the second clip from INTELLECT-2 (arXiv:2505.07291).
 */

import { z } from "zod";
import { clip, minimum, multiply, negate } from "../graph/ops/elementwise.ts";
import { greatestOf, leastOf, mean } from "../statistics.ts";
import { clipEpsilon, clipEpsilonHigh } from "./clip.ts";
import { overCompletions } from "./means.ts";
import { defineLoss, type RatioRow } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const grpo = defineLoss({
  name: "grpo",
  summary: "the clipped ratio; every completion counts the same",
  citation: "DeepSeekMath, arXiv:2402.03300, eq. 3",
  options: {
    clipEpsilon,
    clipEpsilonHigh,
    delta: z
      .number()
      .positive()
      .optional()
      .describe("bounds the ratio where the advantage is negative too; beyond the clip"),
  },
  mean: overCompletions,
  value: ({ logRatio, advantage }, { clipEpsilon: below, clipEpsilonHigh: above = below, delta }) => {
    const ratio = Math.exp(logRatio);
    const [low, high] = [1 - below, 1 + above];
    const bound = delta ?? Number.POSITIVE_INFINITY;
    const bounded = Math.min(ratio, bound);
    const clipped = Math.min(Math.max(ratio, low), high);
    const boundedCounts = bounded * advantage <= clipped * advantage;
    const moves = boundedCounts ? ratio <= bound : ratio >= low && ratio <= high;
    const value = -(boundedCounts ? bounded : clipped) * advantage;
    return { value, byLogprob: 0, byLogRatio: moves ? -ratio * advantage : 0 };
  },
  graph: ({ ratios, advantages }, { clipEpsilon: below, clipEpsilonHigh: above = below, delta }) => {
    const clipped = clip(ratios, 1 - below, 1 + above);
    const bounded = delta === undefined ? ratios : clip(ratios, Number.NEGATIVE_INFINITY, delta);
    return negate(minimum(multiply(bounded, advantages), multiply(clipped, advantages)));
  },
  // Shares of tokens (of completions, where these share a ratio) whose ratio is clipped from below, from above or either,
  // with the least and the greatest share of a completion; TRL's names.
  metrics: (rows, { clipEpsilon: below, clipEpsilonHigh: above = below, delta = Number.POSITIVE_INFINITY }) => {
    const fromBelow = clippedShares(rows, (ratio, advantage) => ratio < 1 - below && advantage < 0);
    const fromAbove = clippedShares(rows, (ratio, advantage) => Math.min(ratio, delta) > 1 + above && advantage > 0);
    return {
      "clip_ratio/low_mean": mean(fromBelow.flat()),
      "clip_ratio/low_min": leastOf(fromBelow.map(mean)),
      "clip_ratio/high_mean": mean(fromAbove.flat()),
      "clip_ratio/high_max": greatestOf(fromAbove.map(mean)),
      "clip_ratio/region_mean": mean(fromBelow.flat()) + mean(fromAbove.flat()),
    };
  },
  issues: ({ clipEpsilon: below, clipEpsilonHigh, delta }) => {
    const [key, bound] = clipEpsilonHigh === undefined ? ["clipEpsilon", below] : ["clipEpsilonHigh", clipEpsilonHigh];
    if (delta === undefined || delta >= 1 + bound) return [];
    const message =
      `delta (${delta}) must be at least 1 + ${key} (${1 + bound}): it bounds ratios beyond the clip, where the advantage ` +
      "is negative, and below that it would clip before the clip does";
    return [{ key: "delta", message }];
  },
  trl: {
    name: "grpo",
    keys: [
      { key: "epsilon", option: "clipEpsilon", kind: "betweenZeroAndOne", fallback: 0.2 },
      { key: "epsilon_high", option: "clipEpsilonHigh", kind: "positive" },
      { key: "delta", option: "delta", kind: "positive" },
    ],
  },
});

/** Of each completion that has tokens which count: 1 or 0 of each, of a shared ratio once. */
export function clippedShares(
  rows: readonly RatioRow[],
  isClipped: (ratio: number, advantage: number) => boolean,
): number[][] {
  return rows.flatMap(({ ratios, advantages, isShared }) => {
    if (ratios.length === 0) return [];
    const own = ratios.map((ratio, n) => Number(isClipped(ratio, advantages[n]!)));
    return [isShared ? [mean(own)] : own];
  });
}
