/** Judges an answer's text against a gold answer's text, without looking for either in anything. */

import { judgeExtracted, type MathVerdict } from "../../src/math-answers/judge-answer.ts";

export const judgeAnswer = (answer: string, gold: string): MathVerdict =>
  judgeExtracted({ text: answer, from: "answer" }, gold);
