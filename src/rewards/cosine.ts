/**
 * The cosine reward of Yeo et al. (arXiv:2502.03373, appendix C.1): a right answer counts more the shorter it is, a
 * wrong one less badly the longer it is (there the model should think on).
 *
 *     value(length) = end + ½ (start − end) (1 + cos(π · min(length, L) / L))
 *
 * from `maxCorrect` down to `minCorrect` where right, from `minWrong` up to `maxWrong` where wrong. Beyond L it stays at
 * its end; the seed's cosine, without that bound, comes back. open-r1's command line has the bounds of wrong answers the
 * wrong way round (0 and −0.5), so that long wrong answers are punished most; here `minWrong` is at most `maxWrong`.
 *
 * Not here: the paper's separate penalty r_e of completions that were cut; `soft_overlong` has that job. Lengths are in
 * characters by default, as in open-r1 and train-deepseek-r1 (L = 1000); the paper and TRL count tokens.
 */

import { z } from "zod";
import { defineRewardEntry } from "./entry.ts";
import type { RewardInput } from "./reward.ts";
import { correctByAnswer, correctOption, scoredByVerdict } from "./verdict.ts";

/** The entry; see the file's header. */
export const cosine = defineRewardEntry({
  name: "cosine",
  title: "Cosine length scaling",
  summary: "right answers: 1.0 falling to 0.8 with length; wrong ones: −0.5 rising to −0.1; flat from maxLength on",
  citation: "Yeo et al., arXiv:2502.03373, appendix C.1; open-r1, TRL get_cosine_scaled_reward",
  columns: [],
  trl: [
    {
      aliases: ["cosine_scaled", "cosine_scaled_reward", "get_cosine_scaled_reward"],
      keys: [
        { key: "cosine_min_value_wrong", option: "minWrong", fallback: 0, kind: "number" },
        { key: "cosine_max_value_wrong", option: "maxWrong", fallback: -0.5, kind: "number" },
        { key: "cosine_min_value_correct", option: "minCorrect", fallback: 0.5, kind: "number" },
        { key: "cosine_max_value_correct", option: "maxCorrect", fallback: 1, kind: "number" },
        { key: "cosine_max_len", option: "maxLength", fallback: 1000, kind: "whole" },
      ],
      gold: correctByAnswer,
      fault: ({ minWrong, maxWrong }) =>
        Number(minWrong) <= Number(maxWrong)
          ? undefined
          : `cosine_min_value_wrong (${minWrong}) is above cosine_max_value_wrong (${maxWrong}), as open-r1's defaults ` +
            "are: long wrong answers would be punished most. The cosine here is the paper's (arXiv:2502.03373), which " +
            `punishes short ones most. Set cosine_min_value_wrong to ${maxWrong} and cosine_max_value_wrong to ${minWrong}.`,
    },
  ],
  options: z
    .strictObject({
      correct: correctOption,
      minCorrect: z.number().default(0.8).describe("score of a right answer of maxLength and more"),
      maxCorrect: z.number().default(1).describe("score of a right answer of length 0"),
      minWrong: z.number().default(-0.5).describe("score of a wrong answer of length 0"),
      maxWrong: z.number().default(-0.1).describe("score of a wrong answer of maxLength and more"),
      maxLength: z.int().min(1).default(1000).describe("L, from which on the score stays"),
      unit: z.enum(["characters", "tokens"]).default("characters").describe("what lengths are counted in"),
    })
    .superRefine(({ minCorrect, maxCorrect, minWrong, maxWrong }, context) => {
      const refuse = (low: string, high: string) =>
        context.addIssue({ code: "custom", path: [low], message: `${low} is above ${high}: exchange the two` });
      if (minCorrect > maxCorrect) refuse("minCorrect", "maxCorrect");
      if (minWrong > maxWrong) refuse("minWrong", "maxWrong");
    }),
  create: (options, context) =>
    scoredByVerdict("cosine", options.correct, context, (inputs, isRight) =>
      inputs.map((input, i) => {
        const length = lengthOf(input, options.unit);
        if (length === undefined) {
          return { score: null, reason: "the completion's length in tokens is not known (column completionTokens)" };
        }
        const [start, end] = isRight[i]
          ? [options.maxCorrect, options.minCorrect]
          : [options.minWrong, options.maxWrong];
        const score = cosineBetween(start, end, length / options.maxLength);
        const what = isRight[i] ? "right" : "wrong";
        return { score, reason: `${what} with ${length} of ${options.maxLength} ${options.unit}` };
      }),
    ),
});

/** From `start` at progress 0 to `end` at 1 and beyond, along half a cosine. */
function cosineBetween(start: number, end: number, progress: number): number {
  // At 1 the cosine is −1 to within rounding: the end is returned itself, so that scores beyond L are equal.
  return progress >= 1 ? end : end + 0.5 * (start - end) * (1 + Math.cos(Math.PI * progress));
}

/** Code points, as Python counts them, or tokens. */
function lengthOf({ completion, completionTokens }: RewardInput, unit: "characters" | "tokens"): number | undefined {
  return unit === "tokens" ? completionTokens : countCodePoints(completion);
}

/** The number of code points of a text, without a copy of it. */
export function countCodePoints(text: string): number {
  let pairs = 0;
  for (let i = 0; i + 1 < text.length; i++) {
    const isPair = (text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00;
    if (isPair) {
      pairs++;
      i++;
    }
  }
  return text.length - pairs;
}
