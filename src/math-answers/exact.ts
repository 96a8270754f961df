/**
 * Exact values: an expression as a fraction of whole numbers, where it has one and the numbers stay small enough. The
 * symbols' values are given. Whatever leaves the rationals (√2, sin 1, π) has no exact value here; `numeric.ts` goes on.
 */

import { applyOperator, equal, lessThan, type Rational, whole } from "../expression/rational.ts";
import type { JudgementBudget } from "./budget.ts";
import { type Node, rangeOf } from "./tree.ts";

/** Values for the symbols. */
export type Point = ReadonlyMap<string, Rational>;

/** No value: division by zero (`undefined value`), or not a rational number that is small enough. */
export type Unknown = "irrational" | "undefined";

/** Numbers of more bits are not computed with. */
const MAX_BITS = 1 << 16;
const MAX_FACTORIAL = 4000n;
/** Sums and products of more terms are not worked out. */
const MAX_TERMS = 2000n;
/** Bits of a number, rounded up to four; a small one is not written out. */
const bitsOf = (value: bigint): number => (value < SMALL && value > -SMALL ? 32 : value.toString(16).length * 4);
const SMALL = 1n << 32n;

/** The value at the point. */
export function exactValue(node: Node, point: Point, budget: JudgementBudget): Rational | Unknown {
  budget.spend();
  if (node.kind === "number") return node.value;
  if (node.kind === "symbol") return point.get(node.name) ?? "irrational";
  if (node.kind === "constant") return "irrational";
  const range = rangeOf(node);
  if (range) {
    const points = indexPoints(node, point, budget);
    if (typeof points === "string") return points;
    let result = whole(node.name === "sum" ? 0 : 1);
    for (const at of points) {
      const term = exactValue(range.term, at, budget);
      if (typeof term === "string") return term;
      const next = applyExactly(node.name === "sum" ? "add" : "multiply", [result, term], budget);
      if (typeof next === "string") return next;
      result = next;
    }
    return result;
  }
  const args: Rational[] = [];
  for (const arg of node.args) {
    const value = exactValue(arg, point, budget);
    if (typeof value === "string") return value;
    args.push(value);
  }
  return applyExactly(node.name, args, budget);
}

/** The point once for each value of a sum's or product's index; between bounds that are no whole numbers there are none. */
export function indexPoints(node: Node, point: Point, budget: JudgementBudget): readonly Point[] | Unknown {
  const { index, bounds } = rangeOf(node)!;
  const [from, to] = bounds.map((bound) => exactValue(bound, point, budget)) as [
    Rational | Unknown,
    Rational | Unknown,
  ];
  if (typeof from === "string") return from;
  if (typeof to === "string") return to;
  // An upper bound below the lower one is a slip rather than an empty sum.
  if (!isWholeNumber(from) || !isWholeNumber(to) || to.numerator < from.numerator) return "undefined";
  const count = to.numerator - from.numerator + 1n;
  if (count > MAX_TERMS) return "irrational";
  budget.spend(Number(count));
  return Array.from(
    { length: Number(count) },
    (_, i) => new Map([...point, [index, whole(from.numerator + BigInt(i))]]),
  );
}

/** The value of one operation on exact values. */
export function applyExactly(name: string, args: readonly Rational[], budget: JudgementBudget): Rational | Unknown {
  const result = compute(name, args, budget);
  if (typeof result === "string") return result;
  return sizeOf(result) > MAX_BITS ? "irrational" : result;
}

function sizeOf({ numerator, denominator }: Rational): number {
  return bitsOf(numerator) + bitsOf(denominator);
}

function compute(name: string, args: readonly Rational[], budget: JudgementBudget): Rational | Unknown {
  const [a, b] = args as [Rational, Rational];
  switch (name) {
    case "add":
      return applyOperator("+", a, b) ?? "undefined";
    case "subtract":
      return applyOperator("-", a, b) ?? "undefined";
    case "multiply":
      return applyOperator("*", a, b) ?? "undefined";
    case "divide":
      return applyOperator("/", a, b) ?? "undefined";
    case "negate":
      return { numerator: -a.numerator, denominator: a.denominator };
    case "abs":
      return a.numerator < 0n ? { numerator: -a.numerator, denominator: a.denominator } : a;
    case "floor":
      return whole(floorOf(a));
    case "ceil":
      return whole(-floorOf({ numerator: -a.numerator, denominator: a.denominator }));
    case "max":
      return args.reduce((best, value) => (lessThan(best, value) ? value : best));
    case "min":
      return args.reduce((best, value) => (lessThan(value, best) ? value : best));
    case "power":
      return powerOf(a, b, budget);
    case "root":
      return rootOf(a, b);
    case "factorial":
      return factorialOf(a, budget);
    case "binom":
      return binomialOf(a, b, budget);
    case "gcd":
    case "lcm":
      return args.every(isWholeNumber) ? args.reduce((x, y) => divisorOf(name, x, y)) : "irrational";
    case "log":
      return b === undefined ? "irrational" : logarithmOf(a, b, budget);
    case "ln":
      return equal(a, whole(1)) ? whole(0) : "irrational";
    case "sin":
    case "tan":
      return a.numerator === 0n ? whole(0) : "irrational";
    case "cos":
      return a.numerator === 0n ? whole(1) : "irrational";
    default:
      return "irrational";
  }
}

function isWholeNumber(value: Rational): boolean {
  return value.denominator === 1n;
}

function floorOf({ numerator, denominator }: Rational): bigint {
  const quotient = numerator / denominator;
  return numerator < 0n && quotient * denominator !== numerator ? quotient - 1n : quotient;
}

function powerOf(base: Rational, exponent: Rational, budget: JudgementBudget): Rational | Unknown {
  if (!isWholeNumber(exponent)) {
    if (base.numerator < 0n) return "irrational";
    const root = rootOf(base, whole(exponent.denominator));
    return typeof root === "string" ? root : powerOf(root, whole(exponent.numerator), budget);
  }
  const n = exponent.numerator;
  if (base.numerator === 0n) return n > 0n ? whole(0) : n === 0n ? whole(1) : "undefined";
  if (base.denominator === 1n && (base.numerator === 1n || base.numerator === -1n)) {
    return base.numerator === 1n || n % 2n === 0n ? whole(1) : whole(-1);
  }
  const size = n < 0n ? -n : n;
  if (size > BigInt(MAX_BITS) || sizeOf(base) * Number(size) > MAX_BITS * 2) return "irrational";
  budget.spend(1 + Math.floor((sizeOf(base) * Number(size)) / 1024));
  const [top, bottom] = [base.numerator ** size, base.denominator ** size];
  if (n > 0n) return { numerator: top, denominator: bottom };
  return top < 0n ? { numerator: -bottom, denominator: -top } : { numerator: bottom, denominator: top };
}

/** The real root of a perfect power. */
function rootOf(value: Rational, degree: Rational): Rational | Unknown {
  if (!isWholeNumber(degree) || degree.numerator < 1n || degree.numerator > 64n) return "irrational";
  const n = degree.numerator;
  if (value.numerator < 0n && n % 2n === 0n) return "irrational";
  if (sizeOf(value) > MAX_BITS / 8) return "irrational";
  const [top, bottom] = [wholeRoot(value.numerator, n), wholeRoot(value.denominator, n)];
  return top === undefined || bottom === undefined ? "irrational" : { numerator: top, denominator: bottom };
}

/** The whole number whose n-th power is the value: Newton's method from above. */
function wholeRoot(value: bigint, n: bigint): bigint | undefined {
  if (value < 0n) {
    const positive = wholeRoot(-value, n);
    return positive === undefined ? undefined : -positive;
  }
  if (value < 2n || n === 1n) return value;
  let guess = 1n << (BigInt(bitsOf(value)) / n + 1n);
  for (;;) {
    const better = ((n - 1n) * guess + value / guess ** (n - 1n)) / n;
    if (better >= guess) break;
    guess = better;
  }
  return guess ** n === value ? guess : undefined;
}

function factorialOf(value: Rational, budget: JudgementBudget): Rational | Unknown {
  if (!isWholeNumber(value) || value.numerator < 0n) return "undefined";
  if (value.numerator > MAX_FACTORIAL) return "irrational";
  budget.spend(Number(value.numerator));
  let product = 1n;
  for (let factor = 2n; factor <= value.numerator; factor++) product *= factor;
  return whole(product);
}

function binomialOf(n: Rational, k: Rational, budget: JudgementBudget): Rational | Unknown {
  if (!isWholeNumber(k) || !isWholeNumber(n) || n.numerator < 0n) return "irrational";
  if (k.numerator < 0n || k.numerator > n.numerator) return whole(0);
  const few = k.numerator * 2n > n.numerator ? n.numerator - k.numerator : k.numerator;
  if (few > MAX_FACTORIAL || bitsOf(n.numerator) > 64) return "irrational";
  budget.spend(1 + Number(few));
  let result = 1n;
  for (let i = 1n; i <= few; i++) result = (result * (n.numerator - few + i)) / i;
  return whole(result);
}

function divisorOf(name: string, x: Rational, y: Rational): Rational {
  let [a, b] = [x.numerator < 0n ? -x.numerator : x.numerator, y.numerator < 0n ? -y.numerator : y.numerator];
  const product = a * b;
  while (b !== 0n) [a, b] = [b, a % b];
  return whole(name === "gcd" ? a : a === 0n ? 0n : product / a);
}

/** log_b a where it is a whole number of at most 4096. */
function logarithmOf(value: Rational, base: Rational, budget: JudgementBudget): Rational | Unknown {
  if (value.numerator <= 0n || base.numerator <= 0n || equal(base, whole(1))) return "undefined";
  const estimate = Math.round(logOf(value) / logOf(base));
  if (!Number.isFinite(estimate) || Math.abs(estimate) > 4096) return "irrational";
  const power = powerOf(base, whole(estimate), budget);
  return typeof power !== "string" && equal(power, value) ? whole(estimate) : "irrational";
}

const logOf = ({ numerator, denominator }: Rational): number => logOfWhole(numerator) - logOfWhole(denominator);

function logOfWhole(value: bigint): number {
  const bits = Math.max(0, bitsOf(value) - 64);
  return Math.log(Number(value >> BigInt(bits))) + bits * Math.LN2;
}
