/**
 * The length reward of Kimi k1.5 (arXiv:2501.12599, “Length penalty”), among the completions of one prompt:
 *
 *     λ = 0.5 − (length − shortest) / (longest − shortest)
 *
 * A right completion gets λ, a wrong one min(0, λ): short and right is best, long is never good. All get 0 where all are
 * equally long. The paper turns it on after a while, since it slows early training; give it a small weight, or a stage of
 * its own.
 *
 * Shortest and longest are over all completions of the prompt, right or wrong, as in the paper. One that abstains (no
 * verdict) still counts there: it was sampled.
 */

import { z } from "zod";
import { countCodePoints } from "./cosine.ts";
import { defineRewardEntry } from "./entry.ts";
import { groupsOf, type RewardInput, type RewardResult } from "./reward.ts";
import { correctByAnswer, correctOption, scoredByVerdict } from "./verdict.ts";

export const length = defineRewardEntry({
  name: "length",
  title: "Length within the group",
  summary: "0.5 for the shortest of the prompt's completions down to −0.5 for the longest; wrong ones at most 0",
  citation: "Kimi k1.5, arXiv:2501.12599, “Length penalty”",
  columns: [],
  trl: [{ aliases: ["len_reward"], gold: correctByAnswer }],
  options: z.strictObject({
    correct: correctOption,
    unit: z
      .enum(["auto", "tokens", "characters"])
      .default("auto")
      .describe("what lengths are counted in; auto: tokens where they are known for the whole group"),
  }),
  create: ({ correct, unit }, context) =>
    scoredByVerdict("length", correct, context, (inputs, isRight) => {
      const results: RewardResult[] = [];
      for (const group of groupsOf(inputs)) {
        const { lengths, unit: counted } = lengthsOf(
          group.map((i) => inputs[i]!),
          unit,
        );
        const known = lengths.filter((one) => one !== undefined);
        const shortest = known.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
        const longest = known.reduce((a, b) => Math.max(a, b), 0);
        for (const [k, index] of group.entries()) {
          results[index] = lengthResult(lengths[k], shortest, longest, isRight[index] === true, counted);
        }
      }
      return results;
    }),
});

function lengthsOf(
  group: readonly RewardInput[],
  unit: "auto" | "tokens" | "characters",
): { lengths: (number | undefined)[]; unit: string } {
  const tokens = group.map(({ completionTokens }) => completionTokens);
  const countsTokens = unit === "tokens" || (unit === "auto" && !tokens.includes(undefined));
  if (countsTokens) return { lengths: tokens, unit: "tokens" };
  return { lengths: group.map(({ completion }) => countCodePoints(completion)), unit: "characters" };
}

function lengthResult(
  own: number | undefined,
  shortest: number,
  longest: number,
  isRight: boolean,
  unit: string,
): RewardResult {
  if (own === undefined) {
    return { score: null, reason: "the completion's length in tokens is not known (column completionTokens)" };
  }
  const reason = `${isRight ? "right" : "wrong"} with ${own} ${unit}, ${shortest} to ${longest} in its group`;
  if (longest === shortest) return { score: 0, reason };
  const lambda = 0.5 - (own - shortest) / (longest - shortest);
  return { score: isRight ? lambda : Math.min(0, lambda), reason };
}
