/**
 * 1 where the answer is, letter for letter, the one of the data set (or one of several), else 0. For answers that are
 * names, choices or short texts; numbers and formulas are `accuracy`'s.
 *
 * The answer is the last `<answer>…</answer>`, else what comes after `</think>`, else the whole completion. Both sides are
 * brought into Unicode's NFC; white space around them goes and inside counts as one space.
 */

import { z } from "zod";
import { numberText } from "../exact-json.ts";
import { finalAnswerOf } from "../expression/answer.ts";
import { defineRewardEntry } from "./entry.ts";

/** How an answer and the gold are made comparable. */
function comparable(text: string, caseSensitive: boolean): string {
  const plain = text.normalize("NFC").replace(/\s+/gu, " ").trim();
  return caseSensitive ? plain : plain.toLowerCase();
}

/** Answers in a column: texts, numbers, true and false, or a list of them. */
function goldsIn(value: unknown): string[] | undefined {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const texts = list.map((one) =>
    typeof one === "string" || typeof one === "boolean" ? String(one) : numberText(one),
  );
  return texts.length > 0 && texts.every((text) => text !== undefined) ? texts : undefined;
}

export const exactMatch = defineRewardEntry({
  name: "exact_match",
  title: "Exact match",
  summary: "1 where the answer is the text of the column, white space aside; else 0",
  citation: "Aha's own; the usual exact match of question answering",
  columns: [],
  columnsFor: ({ column }) => [column],
  saysRightFor: [["answer"]],
  options: z.strictObject({
    column: z.string().min(1).default("answer").describe("the column with the answer, or a list of right ones"),
    part: z
      .enum(["answer", "completion"])
      .default("answer")
      .describe("answer: the last <answer>, else what follows </think>, else all; completion: all"),
    caseSensitive: z.boolean().default(true).describe("whether A and a are different"),
  }),
  create: ({ column, part, caseSensitive }) => {
    return ({ completion, columns }) => {
      const golds = goldsIn(columns[column]);
      if (golds === undefined) {
        return { score: null, reason: `cannot judge: the column ${column} holds no text or list of texts` };
      }
      const answer = comparable(part === "answer" ? finalAnswerOf(completion) : completion, caseSensitive);
      const isEqual = golds.some((gold) => comparable(gold, caseSensitive) === answer);
      const shownAnswer = JSON.stringify(answer.slice(0, 60));
      if (isEqual) return { score: 1, reason: `the answer is ${shownAnswer}` };
      return { score: 0, reason: `the answer is ${shownAnswer}, not ${JSON.stringify(golds[0]!.slice(0, 60))}` };
    };
  },
});
