/** Python's own arithmetic, for numbers that are no arrays: sizes of arrays, and what is computed of them. */

import { RequestFailure } from "../refusal.ts";
import { COMPARISONS, floorDivide, floorRemainder } from "./elementwise.ts";
import { PythonNumber } from "./python-values.ts";

interface Operator {
  readonly value: (a: number, b: number) => number;
  /** Two ints make a float. */
  readonly isFloat?: boolean;
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  add: { value: (a, b) => a + b },
  sub: { value: (a, b) => a - b },
  mul: { value: (a, b) => a * b },
  div: { value: (a, b) => a / requireNonzero(b), isFloat: true },
  floor_divide: { value: (a, b) => floorDivide(a, requireNonzero(b)) },
  remainder: { value: (a, b) => floorRemainder(a, requireNonzero(b)) },
  pow: { value: (a, b) => a ** b },
};

/** The functions of Python's module `math`, of one number. */
export const MATH_FUNCTIONS: Readonly<Record<string, (x: number) => number>> = {
  ...{ exp: Math.exp, expm1: Math.expm1, log: Math.log, log2: Math.log2, log10: Math.log10, log1p: Math.log1p },
  ...{ sqrt: Math.sqrt, fabs: Math.abs, tanh: Math.tanh, sin: Math.sin, cos: Math.cos },
};

/** Those whose results are ints. */
export const WHOLE_MATH_FUNCTIONS: Readonly<Record<string, (x: number) => number>> = {
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
};

/** a ∘ b by the name of an operation. Throws RequestFailure for one that Python's numbers do not have. */
export function pythonArithmetic(name: string, a: PythonNumber, b: PythonNumber): PythonNumber {
  const operator = OPERATORS[name];
  if (operator === undefined) throw new RequestFailure("takes an array, not numbers alone.");
  const isPowerBelowOne = name === "pow" && b.value < 0;
  const isFloat = operator.isFloat === true || isPowerBelowOne || a.isFloat || b.isFloat;
  return new PythonNumber(operator.value(a.value, b.value), isFloat);
}

/** Whether a ∘ b by the name of a comparison. */
export function pythonComparison(name: string, a: PythonNumber, b: PythonNumber): boolean {
  return COMPARISONS[name]!(a.value, b.value);
}

function requireNonzero(divisor: number): number {
  if (divisor === 0) throw new RequestFailure("divides by zero.");
  return divisor;
}
