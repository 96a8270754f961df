/**
 * Values of 80 digits, by math.js: of expressions that leave the rationals, real or complex, at a point. Real ones are
 * BigNumbers; where a step leaves the reals (√−1, log −2) the value goes on as a complex number of double precision.
 *
 * math.js is given one operation at a time on values whose size is known, never a text and never a whole tree: its own
 * `simplify` and `evaluate` have no limit on what they cost. It is loaded, in its one-file build (80 ms, against 500 for
 * the other), when the first irrational answer comes.
 */

import type { BigNumber, Complex, MathJsInstance } from "mathjs";
import type { Rational } from "../expression/rational.ts";
import type { JudgementBudget } from "./budget.ts";
import { applyExactly, indexPoints, type Point } from "./exact.ts";
import { type Node, rangeOf } from "./tree.ts";

/** A finite value. */
export type NumericValue = BigNumber | Complex;

const DIGITS = 80;
/** Powers, exponentials and factorials beyond 10^±MAX_EXPONENT, and angles beyond it, are not computed. */
const MAX_EXPONENT = 100_000;
const MAX_ANGLE = 1e15;
/** Relative to the larger value; below 1, absolute. */
const REAL_TOLERANCE = 1e-60;
const COMPLEX_TOLERANCE = 1e-10;

type MathJs = typeof import("mathjs");

let library: MathJsInstance | undefined;

/**
 * Gives the library where this is not Node, which loads it by itself: `provideMathJs(await import("mathjs"))`, before the
 * first answer is judged.
 */
export function provideMathJs({ create, all }: Pick<MathJs, "create" | "all">): void {
  library = create(all!, { number: "BigNumber", precision: DIGITS, predictable: false }) as MathJsInstance;
}

function mathJs(): MathJsInstance {
  // Taken from `process` instead of being imported, so that this file can be loaded without Node.
  if (library === undefined) {
    const node = globalThis.process?.getBuiltinModule?.("node:module");
    if (node === undefined) throw new TypeError("math.js is not loaded: call provideMathJs before answers are judged.");
    provideMathJs(node.createRequire(import.meta.url)("mathjs/lib/browser/math.js") as MathJs);
  }
  return library!;
}

/** A rational number in 80 digits. */
export function bigNumberOf({ numerator, denominator }: Rational): BigNumber {
  const math = mathJs();
  return math.bignumber(String(numerator)).div(math.bignumber(String(denominator)));
}

/** The value at the point; undefined where there is none or it is too large to compute. */
export function numericValue(node: Node, point: Point, budget: JudgementBudget): NumericValue | undefined {
  const value = valueAt(node, point, budget);
  return value && asValue(value);
}

/** Exact as long as it can be. */
function valueAt(node: Node, point: Point, budget: JudgementBudget): Rational | NumericValue | undefined {
  budget.spend();
  if (node.kind === "number") return node.value;
  if (node.kind === "symbol") return point.get(node.name);
  const math = mathJs();
  if (node.kind === "constant") {
    if (node.name === "infinity") return undefined;
    return node.name === "i" ? math.complex(0, 1) : constantOf(math, node.name);
  }
  const range = rangeOf(node);
  if (range) {
    const points = indexPoints(node, point, budget);
    if (typeof points === "string") return undefined;
    const terms = points.map((at) => valueAt(range.term, at, budget));
    return terms.reduce(
      (result, term) =>
        result && term && operated(math, node.name === "sum" ? "add" : "multiply", [result, term], budget),
    );
  }
  const args: (Rational | NumericValue)[] = [];
  for (const arg of node.args) {
    const value = valueAt(arg, point, budget);
    if (value === undefined) return undefined;
    args.push(value);
  }
  return operated(math, node.name, args, budget);
}

/** One operation, exact where it can be. */
function operated(
  math: MathJsInstance,
  name: string,
  args: readonly (Rational | NumericValue)[],
  budget: JudgementBudget,
): Rational | NumericValue | undefined {
  if (args.every(isExact)) {
    const exact = applyExactly(name, args, budget);
    if (exact === "undefined") return undefined;
    if (exact !== "irrational") return exact;
  }
  budget.spend(4);
  return finite(applyNumerically(math, name, args.map(asValue)));
}

const isExact = (value: Rational | NumericValue): value is Rational => "numerator" in value;

const asValue = (value: Rational | NumericValue): NumericValue => (isExact(value) ? bigNumberOf(value) : value);

const constants = new Map<"pi" | "e", BigNumber>();

/** π or e in all digits; math.js keeps those under their names in double precision. */
function constantOf(math: MathJsInstance, name: "pi" | "e"): BigNumber {
  const known = constants.get(name);
  if (known) return known;
  const value = (name === "pi" ? math.acos(math.bignumber(-1)) : math.exp(math.bignumber(1))) as unknown as BigNumber;
  constants.set(name, value);
  return value;
}

function finite(value: unknown): NumericValue | undefined {
  const math = mathJs();
  // The size of a complex number comes in double precision: it is compared as a complex number is.
  if (typeof value === "number") return Number.isFinite(value) ? math.complex(value, 0) : undefined;
  if (math.isBigNumber(value)) return value.isFinite() ? value : undefined;
  if (math.isComplex(value)) return Number.isFinite(value.re) && Number.isFinite(value.im) ? value : undefined;
  return undefined;
}

const FUNCTIONS: Readonly<Record<string, string>> = {
  sin: "sin",
  cos: "cos",
  tan: "tan",
  cot: "cot",
  sec: "sec",
  csc: "csc",
  arcsin: "asin",
  arccos: "acos",
  arctan: "atan",
  arccot: "acot",
  sinh: "sinh",
  cosh: "cosh",
  tanh: "tanh",
};

function applyNumerically(math: MathJsInstance, name: string, args: readonly NumericValue[]): unknown {
  const [a, b] = args as [NumericValue, NumericValue];
  if (Object.hasOwn(FUNCTIONS, name)) {
    if (sizeOf(a) > (name.endsWith("h") ? Math.log10(MAX_EXPONENT) : Math.log10(MAX_ANGLE))) return undefined;
    const compute = (math as unknown as Record<string, (value: NumericValue) => unknown>)[FUNCTIONS[name]!]!;
    return compute(a);
  }
  switch (name) {
    case "add":
      return math.add(a, b);
    case "subtract":
      return math.subtract(a, b);
    case "multiply":
      return math.multiply(a, b);
    case "divide":
      return isZero(b) ? undefined : math.divide(a, b);
    case "negate":
      return math.unaryMinus(a);
    case "abs":
      return math.abs(a as BigNumber);
    case "degrees":
      return math.divide(math.multiply(a, constantOf(math, "pi")), math.bignumber(180));
    case "power":
      return powerOf(math, a, b);
    case "exp":
      return powerOf(math, constantOf(math, "e"), a);
    case "root":
      return rootOf(math, a, b);
    case "ln":
      return isZero(a) ? undefined : math.log(a as BigNumber);
    case "log":
      return logarithmOf(math, a, b);
    case "floor":
      return math.isBigNumber(a) ? math.floor(a) : undefined;
    case "ceil":
      return math.isBigNumber(a) ? math.ceil(a) : undefined;
    case "max":
      return args.every((value) => math.isBigNumber(value)) ? math.max(...(args as BigNumber[])) : undefined;
    case "min":
      return args.every((value) => math.isBigNumber(value)) ? math.min(...(args as BigNumber[])) : undefined;
    default:
      return undefined;
  }
}

/** The power of ten of a value's size; −Infinity for 0. */
function sizeOf(value: NumericValue): number {
  if (mathJs().isBigNumber(value)) return value.isZero() ? Number.NEGATIVE_INFINITY : value.e;
  return Math.log10(Math.hypot((value as Complex).re, (value as Complex).im));
}

function isZero(value: NumericValue): boolean {
  return mathJs().isBigNumber(value) ? value.isZero() : (value as Complex).re === 0 && (value as Complex).im === 0;
}

function powerOf(math: MathJsInstance, base: NumericValue, exponent: NumericValue): unknown {
  if (isZero(base)) return undefined;
  const magnitude = Math.abs(sizeOf(base)) + 1;
  if (sizeOf(exponent) + Math.log10(magnitude) > Math.log10(MAX_EXPONENT)) return undefined;
  return math.pow(base as BigNumber, exponent as BigNumber);
}

/** Real where it can be: the odd root of a negative number. */
function rootOf(math: MathJsInstance, value: NumericValue, degree: NumericValue): unknown {
  if (!math.isBigNumber(degree) || degree.isZero()) return undefined;
  if (math.isBigNumber(value) && value.isNegative() && degree.isInteger() && !degree.mod(2).isZero()) {
    const root = powerOf(math, value.neg(), math.bignumber(1).div(degree));
    return root === undefined ? undefined : math.unaryMinus(root as BigNumber);
  }
  if (isZero(value)) return value;
  return degree.eq(2) ? math.sqrt(value as BigNumber) : powerOf(math, value, math.bignumber(1).div(degree));
}

/** Without a base, `log` is the natural one, as in open-r1's grader; where a base is meant it is written. */
function logarithmOf(math: MathJsInstance, value: NumericValue, base: NumericValue | undefined): unknown {
  if (isZero(value) || (base !== undefined && isZero(base))) return undefined;
  const top = math.log(value as BigNumber);
  if (base === undefined) return top;
  const bottom = math.log(base as BigNumber) as unknown as NumericValue;
  return isZero(bottom) ? undefined : math.divide(top, bottom as BigNumber);
}

/** Whether a value has no imaginary part. */
export function isReal(value: NumericValue): boolean {
  return mathJs().isBigNumber(value);
}

/** Equal up to rounding: 60 digits for real values, 10 where one is complex. */
export function isClose(a: NumericValue, b: NumericValue): boolean {
  const math = mathJs();
  if (math.isBigNumber(a) && math.isBigNumber(b)) {
    const scale = math.max(a.abs(), b.abs(), math.bignumber(1)) as BigNumber;
    if (scale.isZero()) return true;
    return a.minus(b).abs().lte(scale.times(REAL_TOLERANCE));
  }
  const [x, y] = [complexOf(a), complexOf(b)];
  // A real number beyond doubles is no complex one within them.
  if (![x.re, x.im, y.re, y.im].every(Number.isFinite)) return false;
  const scale = Math.max(1, Math.hypot(x.re, x.im), Math.hypot(y.re, y.im));
  return Math.hypot(x.re - y.re, x.im - y.im) <= scale * COMPLEX_TOLERANCE;
}

function complexOf(value: NumericValue): { readonly re: number; readonly im: number } {
  return mathJs().isBigNumber(value) ? { re: value.toNumber(), im: 0 } : (value as Complex);
}

/** A real value as a double, for ordering; of a complex one the real part. */
export function approximate(value: NumericValue): number {
  return complexOf(value).re;
}

/** `2.449489743`, `1+2i`: ten significant digits, the same for values that are equal up to rounding. */
export function shownValue(value: NumericValue): string {
  const round = (part: number) => String(Number((Math.abs(part) < 1e-11 ? 0 : part).toPrecision(10)));
  const { re, im } = complexOf(value);
  if (mathJs().isBigNumber(value)) return value.toSignificantDigits(12).toString();
  return Math.abs(im) < 1e-11 ? round(re) : `${round(re)}+${round(im)}i`;
}
