/**
 * What the model wrote, line by line, with a judgement of each try: what the equation really is, whether it is the target,
 * and where the model is mistaken about it. `tasks/countdown/trace.ts` reads the equations, as it does for reports.
 */

import { findAnswer } from "../../expression/answer.ts";
import { type CountdownProblem, judgeExpression } from "../../expression/countdown.ts";
import { parseExpression } from "../../expression/parse.ts";
import { equal, formatRational, lessThan, type Rational, whole } from "../../expression/rational.ts";
import { readTries, type Try } from "../../tasks/countdown/trace.ts";
import type { TabProblem } from "../../web/protocol.ts";

/** A line of a completion. */
export interface TriedLine {
  /** The pieces (tokens) of the line: the first, and the one behind the last. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
  /** `try`: an equation in the thinking; `answer`: the final one. */
  readonly kind: "try" | "answer" | "other";
  /** Of a try or an answer. */
  readonly isRight?: boolean;
  /** What is wrong with it beyond its value, in a few words; the model's mistakes, not its misses. */
  readonly remark?: string;
}

/** The lines of pieces that follow one another; a piece is in one line alone, the one that it begins in. */
export function triedLines(pieces: readonly string[], { numbers, target }: TabProblem): TriedLine[] {
  const problem: CountdownProblem = { numbers: numbers.map(BigInt), target: whole(target) };
  const lines: TriedLine[] = [];
  let from = 0;
  for (const [i, piece] of pieces.entries()) {
    if (!piece.includes("\n") && i < pieces.length - 1) continue;
    const text = pieces.slice(from, i + 1).join("");
    lines.push({ from, to: i + 1, text, ...judged(text, problem) });
    from = i + 1;
  }
  return lines;
}

/** How many of them are tries. */
export function triesIn(lines: readonly TriedLine[]): number {
  return lines.filter(({ kind }) => kind === "try").length;
}

/** `1 try`, `7 tries`. */
export function triesWords(tries: number): string {
  return tries === 1 ? "1 try" : `${tries} tries`;
}

/** The final answer without its tags; undefined where there is none yet. */
export function answerIn(lines: readonly TriedLine[]): string | undefined {
  const line = lines.find(({ kind }) => kind === "answer");
  return line && /<answer>(.*?)(?:<\/answer>|\n|$)/.exec(line.text)?.[1]?.trim();
}

function judged(text: string, problem: CountdownProblem): Pick<TriedLine, "kind" | "isRight" | "remark"> {
  if (text.includes("<answer>")) {
    const found = findAnswer(text);
    if ("fault" in found) return { kind: "answer", isRight: false, remark: "not finished" };
    const { solved, reason } = judgeExpression(found.text, problem);
    return { kind: "answer", isRight: solved, ...(!solved && { remark: reason.replace(/^the answer /, "") }) };
  }
  const attempt = readTries(text, problem).at(-1);
  if (attempt === undefined) return unreadable(text);
  const isRight = attempt.usesNumbers && equal(attempt.value, problem.target);
  const remark = remarkOn(attempt, problem);
  return { kind: "try", isRight, ...(remark !== undefined && { remark }) };
}

/** A line that is no try; a division by zero is one to the eye, though it has no value. */
function unreadable(text: string): Pick<TriedLine, "kind" | "isRight" | "remark"> {
  const [expression = "", ...rest] = text.split("=");
  const parsed = parseExpression(expression);
  const isDivision = rest.length > 0 && !parsed.ok && parsed.reason === "divides by zero";
  return { kind: "other", ...(isDivision && { isRight: false, remark: parsed.reason }) };
}

function remarkOn(attempt: Try, { target }: CountdownProblem): string | undefined {
  const { value, verdict, usesNumbers, isArithmeticRight } = attempt;
  if (!usesNumbers) return "not the numbers that were given";
  if (isArithmeticRight === false) return `slip: it is ${shownValue(value)}`;
  const truth = equal(value, target) ? "yes" : lessThan(value, target) ? "tooLow" : "tooHigh";
  if (verdict === undefined || verdict === truth) return undefined;
  if (verdict === "yes") return `false “yes”: it is ${shownValue(value)}`;
  return truth === "yes" ? "it is the target" : truth === "tooLow" ? "it is too low" : "it is too high";
}

/** With a minus sign that is one. */
function shownValue(value: Rational): string {
  return formatRational(value).replace("-", "−");
}
