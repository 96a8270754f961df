/**
 * When two expressions are the same. Numbers: as exact fractions, else to 60 digits. With symbols: their values at many
 * points, exact fractions wherever an expression is a rational function, so that a difference is found with certainty
 * and two different ones agree with odds of less than one in 10^9 (Schwartz 1980, Zippel 1979). It deliberately does
 * not simplify both and compare the texts: that finds fewer equalities, and its cost has no bound.
 *
 * The one tolerance: a decimal of at least five significant digits stands for every number that it is the rounding or the
 * truncation of (0.33333 for 1/3, 3.1416 for π; 0.33 and 3.14 for nothing but themselves).
 */

import { applyOperator, equal, type Rational, ratio, whole } from "../expression/rational.ts";
import { hashString, uniformAt } from "../random.ts";
import type { JudgementBudget } from "./budget.ts";
import { exactValue, type Point } from "./exact.ts";
import { bigNumberOf, isClose, isReal, type NumericValue, numericValue } from "./numeric.ts";
import { type Answer, apply, type DecimalPlaces, hasPart, type Node, symbolsOf } from "./tree.ts";

/** `unknown`: neither could be shown, e.g. of numbers too large to compute. */
export type Sameness = "same" | "different" | "unknown";

const FEWEST_DIGITS = 5;
/**
 * Points at which expressions with symbols are compared: positive fractions, negative ones, whole numbers, and values far
 * out on both sides, where |x − 100| and 100 − x part.
 */
const POINT_KINDS = [
  "positive",
  "negative",
  "whole",
  "positive",
  "negative",
  "whole",
  "positive",
  "whole",
  "far",
  "negative far",
  "whole",
  "whole",
  "whole",
] as const;
/** Beyond what answers have as bounds. */
const FAR = 5000n;
/** Index of the first of the whole numbers at the end. */
const LAST_WHOLE = 10;
const NEEDED_POINTS = 3;
const noPoint: Point = new Map();

/** Whether two expressions are the same number, or the same function of their symbols. */
export function sameExpression(a: Node, b: Node, budget: JudgementBudget): Sameness {
  if (sameTree(a, b, budget)) return "same";
  if (hasInfinity(a) || hasInfinity(b)) return "different";
  const symbols = symbolsOf(a, b);
  return symbols.length === 0 ? sameNumber(a, b, budget) : sameFunction(a, b, symbols, budget);
}

/** Written alike. */
function sameTree(a: Node, b: Node, budget: JudgementBudget): boolean {
  budget.spend();
  if (a.kind === "number") return b.kind === "number" && equal(a.value, b.value);
  if (a.kind !== "apply") return b.kind === a.kind && a.name === b.name;
  if (b.kind !== "apply" || a.name !== b.name || a.args.length !== b.args.length) return false;
  return a.args.every((arg, i) => sameTree(arg, b.args[i]!, budget));
}

function hasInfinity(node: Node): boolean {
  return hasPart(node, (part) => part.kind === "constant" && part.name === "infinity");
}

function sameNumber(a: Node, b: Node, budget: JudgementBudget): Sameness {
  const exactA = exactValue(a, noPoint, budget);
  const exactB = exactValue(b, noPoint, budget);
  if (exactA === "undefined" || exactB === "undefined") return "different";
  if (typeof exactA !== "string" && typeof exactB !== "string" && equal(exactA, exactB)) return "same";
  const [decimalA, decimalB] = [decimalOf(a), decimalOf(b)];
  if (typeof exactA !== "string" && typeof exactB !== "string" && !decimalA && !decimalB) return "different";
  const valueA = typeof exactA === "string" ? numericValue(a, noPoint, budget) : bigNumberOf(exactA);
  const valueB = typeof exactB === "string" ? numericValue(b, noPoint, budget) : bigNumberOf(exactB);
  if (valueA === undefined || valueB === undefined) return "unknown";
  const bothExact = typeof exactA !== "string" && typeof exactB !== "string";
  if (!bothExact && isClose(valueA, valueB)) return "same";
  if (decimalA && standsFor(valueA, decimalA, valueB)) return "same";
  return decimalB && standsFor(valueB, decimalB, valueA) ? "same" : "different";
}

/** The places of a decimal numeral, perhaps with a sign and a power of ten. */
function decimalOf(node: Node): DecimalPlaces | undefined {
  if (node.kind === "number") return node.decimal;
  if (node.kind !== "apply") return undefined;
  const [first, second] = node.args;
  if (node.name === "negate") return decimalOf(first!);
  if (node.name !== "multiply" || first?.kind !== "number" || !first.decimal) return undefined;
  if (second?.kind !== "apply" || second.name !== "power") return undefined;
  const [base, exponent] = second.args.map((arg) => wholeValue(arg));
  if (base !== 10 || exponent === undefined) return undefined;
  return { ...first.decimal, places: first.decimal.places - exponent };
}

function wholeValue(node: Node): number | undefined {
  if (node.kind === "apply" && node.name === "negate") {
    const value = wholeValue(node.args[0]!);
    return value === undefined ? undefined : -value;
  }
  return node.kind === "number" && node.value.denominator === 1n ? Number(node.value.numerator) : undefined;
}

function standsFor(decimal: NumericValue, { places, significant }: DecimalPlaces, value: NumericValue): boolean {
  if (significant < FEWEST_DIGITS || Math.abs(places) > 1000 || !isReal(decimal) || !isReal(value)) return false;
  const unit = bigNumberOf(places >= 0 ? ratio(1n, 10n ** BigInt(places)) : ratio(10n ** BigInt(-places), 1n));
  const [shown, meant] = [decimal, value] as [typeof unit, typeof unit];
  const error = meant.minus(shown).abs().div(unit);
  const truncated = error.lt(1) && shown.abs().lt(meant.abs()) && shown.isNegative() === meant.isNegative();
  return error.lte(0.5) || truncated;
}

function sameFunction(a: Node, b: Node, symbols: readonly string[], budget: JudgementBudget): Sameness {
  let agreed = 0;
  const complex: (readonly [NumericValue, NumericValue])[] = [];
  const goesFar = isAlgebraic(a) && isAlgebraic(b);
  for (const [index, kind] of POINT_KINDS.entries()) {
    if (!goesFar && kind.endsWith("far")) continue;
    const point = pointOf(symbols, index, kind);
    const exactA = exactValue(a, point, budget);
    const exactB = exactValue(b, point, budget);
    if (exactA === "undefined" || exactB === "undefined") continue;
    if (typeof exactA !== "string" && typeof exactB !== "string") {
      if (!equal(exactA, exactB)) return "different";
      agreed++;
      continue;
    }
    const valueA = numericValue(a, point, budget);
    const valueB = numericValue(b, point, budget);
    if (valueA === undefined || valueB === undefined) continue;
    if (isReal(valueA) && isReal(valueB)) {
      if (!isClose(valueA, valueB)) return "different";
      agreed++;
    } else complex.push([valueA, valueB]);
  }
  if (agreed >= NEEDED_POINTS) return "same";
  if (complex.length < NEEDED_POINTS) return "unknown";
  return complex.every(([x, y]) => isClose(x, y)) ? "same" : "different";
}

const ALGEBRAIC = new Set([
  "add",
  "subtract",
  "multiply",
  "divide",
  "negate",
  "abs",
  "max",
  "min",
  "floor",
  "ceil",
  "root",
]);

/** Whether values far out keep their digits: of a sine or an exponential there they do not. */
function isAlgebraic(node: Node): boolean {
  if (node.kind !== "apply") return true;
  if (node.name === "power") return isAlgebraic(node.args[0]!) && symbolsOf(node.args[1]!).length === 0;
  return ALGEBRAIC.has(node.name) && node.args.every(isAlgebraic);
}

/** Values for the symbols: the same for the same names, so that equal answers are equal at equal points. */
export function pointOf(symbols: readonly string[], index: number, kind: (typeof POINT_KINDS)[number]): Point {
  const draw = (name: string, salt: number): number => uniformAt(hashString(name), salt, [index]);
  return new Map(
    symbols.map((name): [string, Rational] => {
      if (kind === "whole") {
        const value = 2 + index + Math.floor(draw(name, 1) * 8);
        // The last ones are even and odd by turns: (−1)^n is 1 at every even number.
        const parity = (index + (hashString(name) & 1)) % 2;
        return [name, whole(index < LAST_WHOLE ? value : 2 * Math.floor(value / 2) + parity)];
      }
      const denominator = BigInt(3 + Math.floor(draw(name, 2) * 17));
      const isFar = kind === "far" || kind === "negative far";
      const near = BigInt(1 + Math.floor(draw(name, 1) * 97));
      const size = ratio(isFar ? near + FAR * denominator : near, denominator);
      return [name, kind === "positive" || kind === "far" ? size : ratio(-size.numerator, size.denominator)];
    }),
  );
}

/**
 * Whether f = 0 and g = 0 are the same equation up to a constant factor: f(p)·g(q) = f(q)·g(p) at several pairs of points.
 * With `positive`, the factor must be positive, as an inequality f > 0 asks.
 */
export function proportional(f: Node, g: Node, positive: boolean, budget: JudgementBudget): Sameness {
  const symbols = symbolsOf(f, g);
  if (symbols.length === 0) return "unknown";
  let first: readonly [NumericValue, NumericValue] | undefined;
  let agreed = 0;
  const goesFar = isAlgebraic(f) && isAlgebraic(g);
  for (const [index, kind] of POINT_KINDS.entries()) {
    if (!goesFar && kind.endsWith("far")) continue;
    const point = pointOf(symbols, index, kind);
    const [x, y] = [numericValue(f, point, budget), numericValue(g, point, budget)];
    if (x === undefined || y === undefined || !isReal(x) || !isReal(y)) continue;
    const [fx, gx] = [x, y] as [ReturnType<typeof bigNumberOf>, ReturnType<typeof bigNumberOf>];
    if (fx.isZero() !== gx.isZero()) return "different";
    if (fx.isZero()) continue;
    if (positive && fx.isNegative() !== gx.isNegative()) return "different";
    if (!first) first = [fx, gx];
    else {
      const [fp, gp] = first as typeof first & readonly [typeof fx, typeof gx];
      if (!isClose(fp.times(gx).div(fx.times(gp)), bigNumberOf(ratio(1n, 1n)))) return "different";
      agreed++;
    }
  }
  return agreed >= NEEDED_POINTS - 1 ? "same" : "unknown";
}

/**
 * Whether one of two equations is `y = f(x…)` and solves the other: the other holds wherever it does, and is linear in y
 * with a factor that does not vanish there, so that it has no other solutions. xy = 1 and y = 1/x; y² = 4x and x = y²/4.
 */
export function solvesFor(gold: readonly Answer[], answer: readonly Answer[], budget: JudgementBudget): boolean {
  return isSolvedBy(gold, answer, budget) || isSolvedBy(answer, gold, budget);
}

function isSolvedBy(equation: readonly Answer[], solution: readonly Answer[], budget: JudgementBudget): boolean {
  const [[left, right], [target, value]] = [equation, solution].map((sides) =>
    sides.map((side) => (side.kind === "expression" ? side.node : undefined)),
  ) as [[Node?, Node?], [Node?, Node?]];
  if (!left || !right || target?.kind !== "symbol" || !value || symbolsOf(value).includes(target.name)) return false;
  const { name } = target;
  const names = symbolsOf(value);
  if (names.length === 0 || symbolsOf(left, right).join() !== [...names, name].sort().join()) return false;
  const difference = apply("subtract", left, right);
  let agreed = 0;
  for (const [index, kind] of POINT_KINDS.entries()) {
    const point = pointOf(names, index, kind);
    const solved = exactValue(value, point, budget);
    if (typeof solved === "string") continue;
    const at = (shift: Rational) =>
      exactValue(difference, new Map([...point, [name, applyOperator("+", solved, shift)!]]), budget);
    const [here, next] = [at(whole(0)), at(whole(1))];
    if (typeof here === "string" || typeof next === "string") continue;
    // An unusual step, so that no equation can be made to fit it, and a cubic does not pass as a line.
    const step = [...pointOf([`step of ${name}`], index, kind).values()][0]!;
    const afterStep = at(step);
    if (typeof afterStep === "string") continue;
    const isLinear = equal(afterStep, applyOperator("*", step, next)!);
    if (here.numerator !== 0n || next.numerator === 0n || !isLinear) return false;
    agreed++;
  }
  return agreed >= NEEDED_POINTS;
}
