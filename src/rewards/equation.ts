/**
 * The accuracy reward of the Countdown game: 1 where the first single-line `<answer>` is an expression that uses every
 * number of `nums` exactly once and equals `target`, else `wrongScore`; a completion without an answer gets 0.
 *
 * The scores are those of Mini-R1 with `wrongScore` 0 (the default), and of TinyZero with 0.1. The conditions depart
 * from both in the parser (`expression/parse.ts`: no `**`, `//`, signs, decimals, which their `eval` reads) and in
 * exact equality, where they allow 1e-5; from TinyZero also in which answer counts: there it is the last one on the
 * completion's last line. Where the columns are not a Countdown problem it abstains.
 */

import { z } from "zod";
import { findAnswer } from "../expression/answer.ts";
import { judgeCompletion, readCountdown } from "../expression/countdown.ts";
import { defineRewardEntry } from "./entry.ts";

export const equation = defineRewardEntry({
  name: "equation",
  title: "Countdown equation",
  citation: "Mini-R1 and TinyZero, the accuracy reward of DeepSeek-R1 (arXiv:2501.12948 §2.2.2) for Countdown",
  summary: "1 where the <answer> uses every number once and equals the target; else wrongScore (no answer: 0)",
  columns: ["nums", "target"],
  saysRightFor: [["nums", "target"]],
  trl: [{}],
  options: z.strictObject({
    wrongScore: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe("score of an answer that is there but is wrong or cannot be read"),
  }),
  create: ({ wrongScore }) => {
    return (input) => {
      const problem = readCountdown(input.columns);
      if ("fault" in problem) return { score: null, reason: `cannot judge: ${problem.fault}` };
      const { solved, reason } = judgeCompletion(input.completion, problem);
      if (solved) return { score: 1, reason };
      const hasAnswer = wrongScore !== 0 && !("fault" in findAnswer(input.completion));
      return { score: hasAnswer ? wrongScore : 0, reason };
    };
  },
});
