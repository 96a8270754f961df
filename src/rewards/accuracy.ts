/**
 * The accuracy reward of mathematics: 1 where the completion's final answer equals the gold one, else 0. DeepSeek-R1
 * (arXiv:2501.12948) §2.2.2; It has the purpose of open-r1's `accuracy_reward`. `math-answers/` has the rules: which
 * answers are equal, and where in a completion the answer is found.
 *
 * Where the gold answer cannot be read it abstains, as open-r1 does, or gives `unreadableGoldScore`: train-deepseek-r1
 * gives 0.5. Where a comparison would cost too much it abstains.
 */

import { z } from "zod";
import { GOLD_COLUMNS, goldOfColumns } from "../math-answers/gold.ts";
import { judgeMath } from "../math-answers/judge-answer.ts";
import { defineRewardEntry } from "./entry.ts";

export const accuracy = defineRewardEntry({
  name: "accuracy",
  title: "accuracy of a mathematical answer",
  summary: "1 where the final answer equals the gold one as mathematics; else 0",
  citation: "DeepSeek-R1, arXiv:2501.12948, §2.2.2; open-r1's accuracy_reward",
  // One of several (`anyColumnFor`); a single row without any is an abstention that says so.
  columns: [],
  columnsFor: ({ gold }) => (gold === undefined ? [] : [gold]),
  anyColumnFor: ({ gold }) => (gold === undefined ? GOLD_COLUMNS : []),
  saysRightFor: GOLD_COLUMNS.map((column) => [column]),
  trl: [{ aliases: ["reasoning_accuracy_reward"], gold: (gold) => ({ gold }) }],
  options: z.strictObject({
    gold: z
      .string()
      .min(1)
      .optional()
      .describe(
        "the column with the gold answer, or with a solution that ends in it; answer, else solution, if absent",
      ),
    unreadableGoldScore: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .default(null)
      .describe("the score where the gold answer cannot be read; null abstains"),
  }),
  create: ({ gold: column, unreadableGoldScore }) => {
    return ({ prompt, completion, columns }) => {
      const gold = goldOfColumns(columns, column);
      if ("fault" in gold) return { score: unreadableGoldScore, reason: `cannot judge: ${gold.fault}` };
      const verdict = judgeMath(prompt, completion, gold.answers);
      if (verdict.verdict !== "abstain") return { score: Number(verdict.verdict === "right"), reason: verdict.reason };
      return { score: verdict.unreadable ? unreadableGoldScore : null, reason: `cannot judge: ${verdict.reason}` };
    };
  },
});
