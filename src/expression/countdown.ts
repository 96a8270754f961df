/**
 * The rules of the Countdown game: what a problem is, and whether an expression answers it. The reward `equation` and
 * the task's own verdict both use these rules, so that training and measurement always agree.
 *
 * As in the seeds every number is to be used exactly once. (The television game, and the seeds' own prompt, would allow
 * to leave some out; their graders do not.) Where they compare floating-point numbers to 1e-5, equality here is exact.
 */

import { shorten } from "../errors.ts";
import { numberText, stringifyExactJson } from "../exact-json.ts";
import { findAnswer } from "./answer.ts";
import { type ExpressionLimits, parseExpression } from "./parse.ts";
import { equal, formatRational, type Rational, readDecimal } from "./rational.ts";

/** A problem: use every number once to reach the target. */
export interface CountdownProblem {
  readonly numbers: readonly bigint[];
  readonly target: Rational;
}

/** Judgement of one answer. */
export interface CountdownJudgement {
  readonly solved: boolean;
  /** e.g. `the answer is 53, not 54`. */
  readonly reason: string;
}

/**
 * The problem in a data set's columns: `nums`, whole numbers ≥ 0 (numbers, bigints or numerals); `target`, a decimal (JSON
 * number or numeral). Where they are not that, what is wrong.
 */
export function readCountdown(
  columns: Readonly<Record<string, unknown>>,
): CountdownProblem | { readonly fault: string } {
  const { nums, target } = columns;
  if (!Array.isArray(nums) || nums.length === 0) return { fault: "nums is not a list of whole numbers" };
  const numbers: bigint[] = [];
  for (const item of nums) {
    // A double beyond the whole numbers that it holds is not the number that was meant.
    const isRounded = typeof item === "number" && !Number.isSafeInteger(item);
    const text = typeof item === "string" ? item : numberText(item);
    if (!isRounded && text !== undefined && /^[0-9]{1,16}$/.test(text)) numbers.push(BigInt(text));
    else return { fault: `nums has ${describe(item)} where a whole number ≥ 0 should be` };
  }
  const text = typeof target === "string" ? target : numberText(target);
  const value = text === undefined ? undefined : readDecimal(text);
  return value === undefined ? { fault: `target is ${describe(target)}, not a number` } : { numbers, target: value };
}

function describe(value: unknown): string {
  return shorten(stringifyExactJson(value) ?? "missing", 40);
}

/** Judges an expression; `reason` says what is right or the first thing that is wrong. */
export function judgeExpression(
  text: string,
  problem: CountdownProblem,
  limits?: ExpressionLimits,
): CountdownJudgement {
  const parsed = parseExpression(text, limits);
  if (!parsed.ok) return { solved: false, reason: `the answer ${parsed.reason}` };
  const misuse = numberMisuse(parsed.numbers, problem.numbers);
  if (misuse !== undefined) return { solved: false, reason: `the answer ${misuse}` };
  const value = formatRational(parsed.value);
  if (equal(parsed.value, problem.target))
    return { solved: true, reason: `the answer is ${value}, with every number used once` };
  return { solved: false, reason: `the answer is ${value}, not ${formatRational(problem.target)}` };
}

/** Judges the first single-line `<answer>` of a completion (see `findAnswer`). */
export function judgeCompletion(completion: string, problem: CountdownProblem): CountdownJudgement {
  const answer = findAnswer(completion);
  if ("fault" in answer) return { solved: false, reason: answer.fault };
  const judgement = judgeExpression(answer.text, problem);
  if (answer.count === 1) return judgement;
  return { solved: judgement.solved, reason: `${judgement.reason} (the first of ${answer.count} answers counts)` };
}

/** How `used` is not the same collection as `given`, e.g. `uses 3 more often than it is given`; undefined where it is. */
export function numberMisuse(used: readonly bigint[], given: readonly bigint[]): string | undefined {
  const left = new Map<bigint, number>();
  for (const number of given) left.set(number, (left.get(number) ?? 0) + 1);
  for (const number of used) {
    const count = left.get(number);
    if (count === undefined) return `uses ${number}, which is not given`;
    if (count === 0) return `uses ${number} more often than it is given`;
    left.set(number, count - 1);
  }
  for (const [number, count] of left) if (count > 0) return `leaves out ${number}`;
  return undefined;
}
