/**
 * School problems by construction, for a laptop: arithmetic with three whole numbers, sums of two fractions, linear
 * equations in one unknown. Problem i is a pure function of (seed, stream, i). Every problem comes with its exact answer
 * and a short worked solution, which cold-start SFT imitates.
 */

import { ConfigError } from "../../errors.ts";
import {
  applyOperator,
  formatRational,
  type Operator,
  type Rational,
  ratio,
  whole,
} from "../../expression/rational.ts";
import { hashString, uniformAt } from "../../random.ts";
import { Draws } from "../draws.ts";
import type { MathOptions, ProblemKind } from "./options.ts";

/** A problem with its answer: `-7`, `5/3`. */
export interface GeneratedMathProblem {
  readonly kind: ProblemKind;
  readonly problem: string;
  readonly answer: string;
  /** The steps to the answer, without the answer's form. */
  readonly solution: string;
}

type GeneratorOptions = Pick<MathOptions, "kinds" | "maxOperand" | "heldOutShare">;

const MAX_DRAWS = 10_000;
const STREAM = hashString("math/held-out");

/** Whether the problem belongs to the share of all problems that is held out: a hash of its text. */
export function isHeldOutMathProblem(problem: string, share: number): boolean {
  return uniformAt(hashString(problem), STREAM, [0]) < share;
}

/**
 * The index-th problem of a stream, held out or not as asked (undefined: either).
 *
 * @throws ConfigError where 10,000 draws bring up none.
 */
export function generateMathProblem(
  options: GeneratorOptions,
  seed: number,
  stream: string,
  index: number,
  heldOut?: boolean,
): GeneratedMathProblem {
  const draws = new Draws(seed, stream, index);
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const problem = MAKERS[draws.choice(options.kinds)](draws, options.maxOperand);
    if (heldOut === undefined || isHeldOutMathProblem(problem.problem, options.heldOutShare) === heldOut)
      return problem;
  }
  throw new ConfigError(
    `No ${heldOut ? "held-out" : "training"} problem found in ${MAX_DRAWS} draws (heldOutShare ` +
      `${options.heldOutShare}). Use a larger task.maxOperand or another task.heldOutShare.`,
  );
}

const MAKERS: Readonly<Record<ProblemKind, (draws: Draws, max: number) => GeneratedMathProblem>> = {
  arithmetic,
  fractions,
  linear,
};

const PRECEDENCE: Readonly<Record<Operator, number>> = { "+": 1, "-": 1, "*": 2, "/": 2 };
const ARITHMETIC: readonly Operator[] = ["+", "-", "*"];

/** `What is 12 + 7 * 3?` */
function arithmetic(draws: Draws, max: number): GeneratedMathProblem {
  const [a, b, c] = [draws.between(1, max), draws.between(1, max), draws.between(1, max)];
  const [first, second] = [draws.choice(ARITHMETIC), draws.choice(ARITHMETIC)];
  const problem = `What is ${a} ${first} ${b} ${second} ${c}?`;
  const steps: string[] = [];
  const step = (left: Rational, operator: Operator, right: Rational): Rational => {
    const result = applyOperator(operator, left, right)!;
    steps.push(`${formatRational(left)} ${operator} ${formatRational(right)} = ${formatRational(result)}`);
    return result;
  };
  const [x, y, z] = [whole(a), whole(b), whole(c)];
  const value =
    PRECEDENCE[second] > PRECEDENCE[first] ? step(x, first, step(y, second, z)) : step(step(x, first, y), second, z);
  return { kind: "arithmetic", problem, answer: formatRational(value), solution: steps.join("\n") };
}

/** `What is 2/3 + 1/4? Answer with a fraction in lowest terms.` */
function fractions(draws: Draws, max: number): GeneratedMathProblem {
  const [a, b] = [draws.between(1, max), draws.between(2, max)];
  const [c, d] = [draws.between(1, max), draws.between(2, max)];
  const operator = draws.choice(["+", "-"] as const);
  const result = applyOperator(operator, ratio(BigInt(a), BigInt(b)), ratio(BigInt(c), BigInt(d)))!;
  const answer = formatRational(result);
  const sum = operator === "+" ? a * d + c * b : a * d - c * b;
  return {
    kind: "fractions",
    problem: `What is ${a}/${b} ${operator} ${c}/${d}? Answer with a fraction in lowest terms.`,
    answer,
    solution: `${a}/${b} = ${a * d}/${b * d}\n${c}/${d} = ${c * b}/${b * d}\n${sum}/${b * d} = ${answer}`,
  };
}

/** `Solve for x: 3x + 5 = 20.` The solution may be a fraction. */
function linear(draws: Draws, max: number): GeneratedMathProblem {
  const [a, b, c] = [draws.between(2, max), draws.between(1, max), draws.between(1, max)];
  const answer = formatRational(ratio(BigInt(c - b), BigInt(a)));
  return {
    kind: "linear",
    problem: `Solve for x: ${a}x + ${b} = ${c}.`,
    answer,
    solution: `${a}x = ${c} - ${b} = ${c - b}\nx = ${c - b}/${a} = ${answer}`,
  };
}
