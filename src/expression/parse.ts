/**
 * A reader and exact evaluator of arithmetic expressions: whole numbers, + - * /, parentheses and ASCII white space,
 * with the usual precedence and association to the left. The seeds call `eval` for this. The text comes from a model
 * that is rewarded, also for exploiting errors in the judge, so it must not be executed.
 *
 * What it is not: a calculator. Everything outside that grammar is refused with a reason: `**` and `//` (Python's power
 * and floor division, which the seeds' character filter lets through: `9**9**9` hangs there), decimals, signs before a
 * number (`-3`, `+3`, `--3`), `=`, juxtaposition (`2(3)`), zeros in front (`007`), and the typographic × ÷ − (the prompts
 * ask for + - * /; `tasks/countdown/trace.ts` reads them where it counts attempts, where nothing is rewarded).
 *
 * It cannot hang: one pass over at most `maxLength` characters with two stacks and no recursion (Dijkstra's shunting
 * yard, 1961), then at most `maxNumbers` − 1 operations on values of at most `maxNumbers` · `maxDigits` digits.
 */

import { applyOperator, type Operator, type Rational, whole } from "./rational.ts";

/** What an expression may measure; beyond it is refused unread. */
export interface ExpressionLimits {
  /** Characters of the whole text. */
  readonly maxLength: number;
  /** Digits of one number. */
  readonly maxDigits: number;
  /** Numbers in the expression. */
  readonly maxNumbers: number;
}

/** Far beyond any Countdown answer, far below anything slow. */
export const EXPRESSION_LIMITS: ExpressionLimits = { maxLength: 4096, maxDigits: 16, maxNumbers: 32 };

export type ParsedExpression =
  | {
      readonly ok: true;
      readonly value: Rational;
      /** The numbers as they stand, left to right. */
      readonly numbers: readonly bigint[];
      /** The expression in postfix order: each operator after its two operands. */
      readonly postfix: readonly (bigint | Operator)[];
    }
  | {
      readonly ok: false;
      /** Why not, for people and logs, e.g. `divides by zero`; reads on from "the answer …". */
      readonly reason: string;
    };

const PRECEDENCE: Readonly<Record<Operator, number>> = { "+": 1, "-": 1, "*": 2, "/": 2 };

/** Reads and evaluates an expression; never throws. */
export function parseExpression(text: string, limits: ExpressionLimits = EXPRESSION_LIMITS): ParsedExpression {
  if (text.length > limits.maxLength) return refuse(`is longer than ${limits.maxLength} characters`);
  const numbers: bigint[] = [];
  const postfix: (bigint | Operator)[] = [];
  const values: Rational[] = [];
  const pending: (Operator | "(")[] = [];
  let openParentheses = 0;
  let expectsNumber = true;
  let position = 0;

  /** Carries out the operations on top of the stack that bind at least as tightly; false for a division by zero. */
  const reduce = (precedence: number): boolean => {
    for (;;) {
      const operator = pending.at(-1);
      if (operator === undefined || operator === "(" || PRECEDENCE[operator] < precedence) return true;
      pending.pop();
      const right = values.pop()!;
      const result = applyOperator(operator, values.pop()!, right);
      if (result === undefined) return false;
      values.push(result);
      postfix.push(operator);
    }
  };

  while (position < text.length) {
    const character = text[position]!;
    if (isSpace(character)) {
      position++;
    } else if (isDigit(character)) {
      if (!expectsNumber) return refuse("has two values without an operator between them");
      const start = position;
      while (position < text.length && isDigit(text[position]!)) position++;
      if (position - start > limits.maxDigits) return refuse(`has a number of more than ${limits.maxDigits} digits`);
      if (character === "0" && position - start > 1) return refuse("has a number that starts with 0");
      if (numbers.length === limits.maxNumbers) return refuse(`has more than ${limits.maxNumbers} numbers`);
      const number = BigInt(text.slice(start, position));
      numbers.push(number);
      postfix.push(number);
      values.push(whole(number));
      expectsNumber = false;
    } else if (character === "(") {
      if (!expectsNumber) return refuse("has two values without an operator between them");
      pending.push("(");
      openParentheses++;
      position++;
    } else if (character === ")") {
      if (openParentheses === 0) return refuse("closes a parenthesis that was not opened");
      if (expectsNumber) return refuse("has ) where a number should be");
      if (!reduce(0)) return refuse("divides by zero");
      pending.pop();
      openParentheses--;
      position++;
    } else if (isOperator(character)) {
      if (expectsNumber) return refuse(misplacedOperator(text, position, character));
      if (!reduce(PRECEDENCE[character])) return refuse("divides by zero");
      pending.push(character);
      expectsNumber = true;
      position++;
    } else {
      return refuse(foreignCharacter(text, position));
    }
  }
  if (numbers.length === 0 && pending.length === 0) return refuse("is empty");
  if (expectsNumber) return refuse("ends where a number should be");
  if (openParentheses > 0) return refuse("leaves a parenthesis open");
  if (!reduce(0)) return refuse("divides by zero");
  return { ok: true, value: values[0]!, numbers, postfix };
}

function refuse(reason: string): ParsedExpression {
  return { ok: false, reason };
}

function isSpace(character: string): boolean {
  return character === " " || (character >= "\t" && character <= "\r");
}

function isDigit(character: string): boolean {
  return character >= "0" && character <= "9";
}

function isOperator(character: string): character is Operator {
  return character === "+" || character === "-" || character === "*" || character === "/";
}

function misplacedOperator(text: string, position: number, operator: Operator): string {
  const isDoubled = operator === text[position - 1] && (operator === "*" || operator === "/");
  if (isDoubled) return `uses ${operator}${operator}, which is not one of + - * /`;
  return operator === "+" || operator === "-"
    ? `has a sign (${operator}) without a number before it`
    : `has ${operator} where a number should be`;
}

function foreignCharacter(text: string, position: number): string {
  const character = String.fromCodePoint(text.codePointAt(position)!);
  if (character === "=") return "contains =: only the expression belongs there, not its result";
  if (character === ".") return "has a decimal point: only whole numbers are given";
  const isPrintable = character > " " && character <= "~";
  const shown = isPrintable ? character : `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;
  return `contains ${shown}, which is not a digit, an operator or a parenthesis`;
}
