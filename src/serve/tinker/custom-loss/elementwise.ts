/** Operations of custom losses that compute each element for itself, with PyTorch's gradients, those at edges included. */

import { RequestFailure } from "../refusal.ts";
import {
  broadcastPlaces,
  broadcastShape,
  dtypeKind,
  floatOf,
  type LossArray,
  type LossDType,
  promoted,
  sizeOfShape,
  type Tape,
} from "./loss-array.ts";

/** A function of one number, and its slope at x, where it is y. */
interface Unary {
  readonly value: (x: number) => number;
  readonly slope: (x: number, y: number) => number;
}

/** Results are floats. */
export const FLOAT_FUNCTIONS: Readonly<Record<string, Unary>> = {
  exp: { value: Math.exp, slope: (_, y) => y },
  exp2: { value: (x) => 2 ** x, slope: (_, y) => y * Math.LN2 },
  expm1: { value: Math.expm1, slope: (_, y) => y + 1 },
  log: { value: Math.log, slope: (x) => 1 / x },
  log2: { value: Math.log2, slope: (x) => 1 / (x * Math.LN2) },
  log10: { value: Math.log10, slope: (x) => 1 / (x * Math.LN10) },
  log1p: { value: Math.log1p, slope: (x) => 1 / (1 + x) },
  sqrt: { value: Math.sqrt, slope: (_, y) => 0.5 / y },
  rsqrt: { value: (x) => 1 / Math.sqrt(x), slope: (_, y) => -0.5 * y ** 3 },
  reciprocal: { value: (x) => 1 / x, slope: (_, y) => -y * y },
  sigmoid: { value: sigmoid, slope: (_, y) => y * (1 - y) },
  tanh: { value: Math.tanh, slope: (_, y) => 1 - y * y },
  sin: { value: Math.sin, slope: (x) => Math.cos(x) },
  cos: { value: Math.cos, slope: (x) => -Math.sin(x) },
  atan: { value: Math.atan, slope: (x) => 1 / (1 + x * x) },
  logsigmoid: { value: logSigmoid, slope: (x) => sigmoid(-x) },
  silu: { value: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
};

/** Results have the dtype of their operand. */
export const KEEPING_FUNCTIONS: Readonly<Record<string, Unary>> = {
  abs: { value: Math.abs, slope: Math.sign },
  sign: { value: Math.sign, slope: () => 0 },
  square: { value: (x) => x * x, slope: (x) => 2 * x },
  floor: { value: Math.floor, slope: () => 0 },
  ceil: { value: Math.ceil, slope: () => 0 },
  trunc: { value: Math.trunc, slope: () => 0 },
  round: { value: roundHalfToEven, slope: () => 0 },
  relu: { value: (x) => (x > 0 || Number.isNaN(x) ? x : 0), slope: (x) => (x > 0 ? 1 : 0) },
};

/** Results are bools. */
export const QUESTIONS: Readonly<Record<string, (x: number) => boolean>> = {
  isnan: Number.isNaN,
  isinf: (x) => Math.abs(x) === Number.POSITIVE_INFINITY,
  isfinite: Number.isFinite,
  logical_not: (x) => x === 0,
};

/** Compares two numbers. */
export const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  logical_and: (a, b) => a !== 0 && b !== 0,
  logical_or: (a, b) => a !== 0 || b !== 0,
  logical_xor: (a, b) => (a !== 0) !== (b !== 0),
};

/** A function of two numbers, and its slopes by each of them. */
interface Binary {
  readonly value: (a: number, b: number) => number;
  readonly slopeA: (a: number, b: number, y: number) => number;
  readonly slopeB: (a: number, b: number, y: number) => number;
  /** Whole numbers become floats. */
  readonly isFloat?: boolean;
  /** PyTorch refuses bools. */
  readonly refusesBools?: string;
}

const NO_BOOL_DIFFERENCE = "takes no arrays of bool: use ~ or logical_xor, or convert with .float().";

/** Arithmetic of two numbers. */
export const ARITHMETIC: Readonly<Record<string, Binary>> = {
  add: { value: (a, b) => a + b, slopeA: () => 1, slopeB: () => 1 },
  sub: { value: (a, b) => a - b, slopeA: () => 1, slopeB: () => -1, refusesBools: NO_BOOL_DIFFERENCE },
  mul: { value: (a, b) => a * b, slopeA: (_, b) => b, slopeB: (a) => a },
  div: { value: (a, b) => a / b, slopeA: (_, b) => 1 / b, slopeB: (_, b, y) => -y / b, isFloat: true },
  floor_divide: { value: floorDivide, slopeA: () => 0, slopeB: () => 0 },
  trunc_divide: { value: (a, b) => Math.trunc(a / b), slopeA: () => 0, slopeB: () => 0 },
  remainder: {
    value: floorRemainder,
    slopeA: () => 1,
    slopeB: (a, b) => -floorDivide(a, b),
  },
  fmod: { value: (a, b) => a % b, slopeA: () => 1, slopeB: (a, b) => -Math.trunc(a / b) },
  pow: {
    value: (a, b) => a ** b,
    slopeA: (a, b) => (b === 0 ? 0 : b * a ** (b - 1)),
    slopeB: (a, b, y) => (a === 0 && b >= 0 ? 0 : y * Math.log(a)),
  },
  // Where both are the same, each gets half of the gradient.
  maximum: { value: Math.max, slopeA: (a, b) => shareOf(a, b), slopeB: (a, b) => shareOf(b, a) },
  minimum: { value: Math.min, slopeA: (a, b) => shareOf(b, a), slopeB: (a, b) => shareOf(a, b) },
  logaddexp: {
    value: (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
    slopeA: (a, b) => sigmoid(a - b),
    slopeB: (a, b) => sigmoid(b - a),
    isFloat: true,
  },
  xlogy: {
    value: (a, b) => (a === 0 && !Number.isNaN(b) ? 0 : a * Math.log(b)),
    slopeA: (a, b) => (a === 0 && b <= 0 ? 0 : Math.log(b)),
    slopeB: (a, b) => a / b,
    isFloat: true,
  },
};

/** How many times as long as a sum of two numbers one of bigints takes, or more. */
const BIGINT_COST = 16;

/** Bitwise on whole numbers, logical on bools. */
export const BITWISE: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  bitwise_and: (a, b) => a & b,
  bitwise_or: (a, b) => a | b,
  bitwise_xor: (a, b) => a ^ b,
};

/** y = f(x) for each element. */
export function unary(tape: Tape, x: LossArray, { value, slope }: Unary, dtype: LossDType = x.dtype): LossArray {
  tape.spend(x.values.length);
  const values = x.values.map((own) => value(own));
  return tape.record(dtype, x.shape, values, [x], (gradient, [into]) => {
    for (let i = 0; i < values.length; i++) into![i]! += gradient[i]! * slope(x.values[i]!, values[i]!);
  });
}

/** The same with a float as its result. */
export const floatUnary = (tape: Tape, x: LossArray, f: Unary): LossArray => unary(tape, x, f, floatOf(x.dtype));

/** A bool for each element. */
export function question(tape: Tape, x: LossArray, ask: (x: number) => boolean): LossArray {
  tape.spend(x.values.length);
  return tape.constant(
    "bool",
    x.shape,
    x.values.map((value) => (ask(value) ? 1 : 0)),
  );
}

/** A bool for each pair of elements, broadcast. */
export function comparePairs(
  tape: Tape,
  a: LossArray,
  b: LossArray,
  ask: (a: number, b: number) => boolean,
): LossArray {
  const { shape, values } = pairwise(tape, a, b, (x, y) => (ask(x, y) ? 1 : 0));
  return tape.constant("bool", shape, values);
}

/** y = f(a, b) for each pair of elements, broadcast. */
export function inPairs(tape: Tape, a: LossArray, b: LossArray, f: Binary, result = promoted(a, b)): LossArray {
  if (f.refusesBools !== undefined && (a.dtype === "bool" || b.dtype === "bool")) {
    throw new RequestFailure(f.refusesBools);
  }
  const dtype = f.isFloat ? floatOf(result) : result;
  const { shape, values, placesA, placesB } = pairwise(tape, a, b, f.value);
  if (dtypeKind(dtype) === 1 && !values.every(Number.isFinite))
    throw new RequestFailure("divides a whole number by zero.");
  if (dtype === "bool") for (let i = 0; i < values.length; i++) values[i] = values[i] === 0 ? 0 : 1;
  return tape.record(dtype, shape, values, [a, b], (gradient, [intoA, intoB]) => {
    for (let i = 0; i < values.length; i++) {
      const [placeA, placeB] = [placesA?.[i] ?? i, placesB?.[i] ?? i];
      const [x, y] = [a.values[placeA]!, b.values[placeB]!];
      if (intoA) intoA[placeA]! += gradient[i]! * f.slopeA(x, y, values[i]!);
      if (intoB) intoB[placeB]! += gradient[i]! * f.slopeB(x, y, values[i]!);
    }
  });
}

/** Bits of whole numbers, or bools. Throws RequestFailure for floats. */
export function bitwise(tape: Tape, a: LossArray, b: LossArray, f: (a: bigint, b: bigint) => bigint): LossArray {
  const dtype = promoted(a, b);
  if (dtypeKind(dtype) === dtypeKind("float32"))
    throw new RequestFailure(`takes bools or whole numbers, not ${dtype}.`);
  tape.spend(BIGINT_COST * sizeOfShape(broadcastShape(a, b)));
  const { shape, values } = pairwise(tape, a, b, (x, y) => Number(f(BigInt(x), BigInt(y))));
  return tape.constant(dtype, shape, values);
}

/** a where the condition holds, else b. */
export function where(tape: Tape, condition: LossArray, a: LossArray, b: LossArray): LossArray {
  if (condition.dtype !== "bool") throw new RequestFailure(`takes a condition of bool, not of ${condition.dtype}.`);
  const shape = broadcastShape(condition, a, b);
  const [holds, placesA, placesB] = [condition, a, b].map((array) => broadcastPlaces(tape, array, shape));
  const size = shape.reduce((product, own) => product * own, 1);
  tape.spend(size);
  const isA = (i: number) => condition.values[holds?.[i] ?? i] !== 0;
  const values = new Float64Array(size);
  for (let i = 0; i < size; i++) values[i] = isA(i) ? a.values[placesA?.[i] ?? i]! : b.values[placesB?.[i] ?? i]!;
  return tape.record(promoted(a, b), shape, values, [a, b], (gradient, [intoA, intoB]) => {
    for (let i = 0; i < size; i++) {
      if (isA(i)) {
        if (intoA) intoA[placesA?.[i] ?? i]! += gradient[i]!;
      } else if (intoB) intoB[placesB?.[i] ?? i]! += gradient[i]!;
    }
  });
}

/** The same numbers in another dtype. */
export function asDType(tape: Tape, x: LossArray, dtype: LossDType): LossArray {
  if (dtype === x.dtype && !x.isPython) return x;
  const toBool = (value: number) => (value === 0 ? 0 : 1);
  const toWhole = (value: number) => (Number.isFinite(value) ? Math.trunc(value) + 0 : 0);
  const value = dtype === "bool" ? toBool : dtypeKind(dtype) === 1 ? toWhole : (own: number) => own;
  return unary(tape, x, { value, slope: () => 1 }, dtype);
}

/** x without a way back for gradients. */
export function detach({ dtype, shape, values }: LossArray, tape: Tape): LossArray {
  return tape.constant(dtype, shape, values);
}

/** What is left of a divided by b, with the sign of b, as in Python. */
export function floorRemainder(a: number, b: number): number {
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

/** The quotient below, as in Python: not that of the rounded quotient, so that −1.5 // 0.3 is −6. */
export function floorDivide(a: number, b: number): number {
  if (b === 0) return a / b;
  const quotient = (a - floorRemainder(a, b)) / b;
  // It is a whole number but for rounding.
  return Number.isFinite(quotient) ? Math.round(quotient) : quotient;
}

function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

function roundHalfToEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** How much of the gradient the larger of two gets. */
function shareOf(own: number, other: number): number {
  return own > other ? 1 : own === other ? 0.5 : 0;
}

function pairwise(tape: Tape, a: LossArray, b: LossArray, f: (a: number, b: number) => number) {
  const shape = broadcastShape(a, b);
  const placesA = broadcastPlaces(tape, a, shape);
  const placesB = broadcastPlaces(tape, b, shape);
  const size = shape.reduce((product, own) => product * own, 1);
  tape.spend(size);
  const values = new Float64Array(size);
  for (let i = 0; i < size; i++) values[i] = f(a.values[placesA?.[i] ?? i]!, b.values[placesB?.[i] ?? i]!);
  return { shape, values, placesA, placesB };
}
