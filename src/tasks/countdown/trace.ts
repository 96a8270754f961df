/**
 * Reads what a completion did: which equations its thinking tries, whether their arithmetic is right, what it says of
 * them. Nothing here is rewarded; it is how a report can tell searching from guessing and a true "yes" from a false one.
 *
 * A *try* is an expression in the thinking with as many numbers as the problem has, whether or not they are the right
 * ones; `80-70=10` on the way to a try over three numbers is not one. It may go on with `=` and further expressions, the
 * last of which is the claimed value. That fits the traces of `demonstration.ts` and, more loosely, the free prose of a
 * pretrained model: × ÷ − · and LaTeX's \times \div \cdot are read as operators here.
 */

import { thinkingOf } from "../../expression/answer.ts";
import { type CountdownProblem, numberMisuse } from "../../expression/countdown.ts";
import { parseExpression } from "../../expression/parse.ts";
import { equal, type Rational, readDecimal } from "../../expression/rational.ts";

export type TryVerdict = "yes" | "tooLow" | "tooHigh";

export interface Try {
  /** The expression before the first `=`, white space removed. */
  readonly expression: string;
  /** What it really is. */
  readonly value: Rational;
  /** What the text says it is; undefined where it says nothing. */
  readonly claimed: Rational | undefined;
  /** Whether everything between `=` signs has one value; undefined where there is no `=`. */
  readonly isArithmeticRight: boolean | undefined;
  /** Whether it uses the given numbers, each once. */
  readonly usesNumbers: boolean;
  readonly verdict: TryVerdict | undefined;
}

/** Everything that can be part of an equation on one line; a full stop only inside of a decimal. */
const RUN = /(?:[0-9+\-*/()= \t]|(?<=[0-9])\.(?=[0-9]))+/g;

const SYMBOLS: readonly (readonly [RegExp, string])[] = [
  [/×|·|\\times|\\cdot/g, "*"],
  [/÷|\\div/g, "/"],
  [/−/g, "-"],
];

/** The tries in the thinking of a completion, in order. */
export function readTries(completion: string, problem: CountdownProblem): Try[] {
  let thinking = thinkingOf(completion);
  for (const [symbol, operator] of SYMBOLS) thinking = thinking.replace(symbol, operator);
  const tries: Try[] = [];
  for (const run of thinking.matchAll(RUN)) {
    const found = readTry(run[0], problem);
    if (found) tries.push({ ...found, verdict: verdictAt(thinking, run.index + run[0].length) });
  }
  return tries;
}

function readTry(run: string, problem: CountdownProblem): Omit<Try, "verdict"> | undefined {
  const segments = run.split("=");
  const expression = trimToExpression(segments[0]!);
  const parsed = parseExpression(expression);
  if (!parsed.ok || parsed.numbers.length < 2 || parsed.numbers.length !== problem.numbers.length) return undefined;
  const steps = segments
    .slice(1)
    .map(trimToExpression)
    .filter((step) => step !== "");
  const values = steps.map(readValue);
  const claimed = steps.length === 0 ? undefined : readDecimal(steps.at(-1)!);
  return {
    expression: expression.replace(/\s/g, ""),
    value: parsed.value,
    claimed,
    isArithmeticRight:
      steps.length === 0 ? undefined : values.every((value) => value !== undefined && equal(value, parsed.value)),
    usesNumbers: numberMisuse(parsed.numbers, problem.numbers) === undefined,
  };
}

function readValue(text: string): Rational | undefined {
  const parsed = parseExpression(text);
  return parsed.ok ? parsed.value : readDecimal(text);
}

/**
 * Takes off what prose leaves around an expression: white space, a list's `-` in front, an operator behind, parentheses
 * that open or close outside of it.
 */
function trimToExpression(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && " \t+*/)".includes(text[start]!)) start++;
  if (text.startsWith("- ", start)) start += 2;
  while (end > start && " \t+-*/(".includes(text[end - 1]!)) end--;
  let depth = 0;
  let outermostUnclosed = -1;
  for (let i = start; i < end; i++) {
    if (text[i] === "(" && depth++ === 0) outermostUnclosed = i;
    if (text[i] !== ")") continue;
    if (depth === 0) return text.slice(start, i).trim();
    depth--;
  }
  return text.slice(depth > 0 ? outermostUnclosed + depth : start, end).trim();
}

const VERDICT = /^[\s,.:;)]{0,4}(?:(yes\b|对)|(too low\b|太小)|too high\b|太大)/i;

function verdictAt(text: string, position: number): TryVerdict | undefined {
  const match = VERDICT.exec(text.slice(position, position + 16));
  if (!match) return undefined;
  return match[1] ? "yes" : match[2] ? "tooLow" : "tooHigh";
}

/** What kinds the statistics below are of: all shares but one. */
export const TRACE_STATISTIC_KINDS = {
  falseYes: "share",
  gaveUp: "share",
  distinctTries: "amount",
  repeatedTries: "share",
  arithmeticRight: "share",
  wrongNumbers: "share",
} as const;

/**
 * Statistics of one completion, by the names that reports use; a share that has nothing to be a share of is absent.
 *
 * - `falseYes`: 1 where a try is called ` yes` and the completion is not solved.
 * - `gaveUp`: 1 where there is an answer, it is wrong, and no try is called ` yes`.
 * - `distinctTries`: how many different expressions were tried.
 * - `repeatedTries`: share of the tries whose expression was tried before.
 * - `arithmeticRight`: share of the tries with `=` whose arithmetic is right.
 * - `wrongNumbers`: share of the tries that do not use the given numbers, each once.
 */
export function traceStatistics(
  tries: readonly Try[],
  outcome: { readonly solved: boolean; readonly answered: boolean },
): Record<string, number> {
  const saysYes = tries.some((attempt) => attempt.verdict === "yes");
  const statistics: Record<string, number> = {
    falseYes: Number(saysYes && !outcome.solved),
    gaveUp: Number(outcome.answered && !outcome.solved && !saysYes),
  };
  const distinct = new Set(tries.map((attempt) => attempt.expression)).size;
  statistics.distinctTries = distinct;
  if (tries.length === 0) return statistics;
  statistics.repeatedTries = 1 - distinct / tries.length;
  statistics.wrongNumbers = tries.filter((attempt) => !attempt.usesNumbers).length / tries.length;
  const checked = tries.filter((attempt) => attempt.isArithmeticRight !== undefined);
  if (checked.length > 0) {
    statistics.arithmeticRight = checked.filter((attempt) => attempt.isArithmeticRight).length / checked.length;
  }
  return statistics;
}
