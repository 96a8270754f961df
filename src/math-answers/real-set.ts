/**
 * Sets of real numbers as intervals in order: the common form of `(1, 2] ∪ [3, ∞)`, `x < 1 or x > 2`, `x ≠ 1`, `ℝ∖{1}`
 * and of single points. Bounds are expressions; their order is decided by value.
 */

import { combine, equal, type Rational } from "../expression/rational.ts";
import type { Budget } from "./budget.ts";
import { exactValue } from "./exact.ts";
import { approximate, isReal, numericValue } from "./numeric.ts";
import { type Answer, apply, hasPart, type Node, symbolsOf } from "./tree.ts";

interface Bound {
  /** −∞ and ∞ have no expression. */
  readonly node: Node | undefined;
  readonly value: number;
}

/** An interval; `low` below `high`, or a point with both the same and closed. */
export interface Interval {
  readonly low: Bound;
  readonly high: Bound;
  readonly openLow: boolean;
  readonly openHigh: boolean;
}

const LEAST: Bound = { node: undefined, value: Number.NEGATIVE_INFINITY };
const MOST: Bound = { node: undefined, value: Number.POSITIVE_INFINITY };
const EVERYTHING: Interval = { low: LEAST, high: MOST, openLow: true, openHigh: true };

/** The intervals, ascending and not touching; undefined where the answer is no set of real numbers with known bounds. */
export function realSetOf(answer: Answer, budget: Budget): readonly Interval[] | undefined {
  const intervals = read(answer, budget);
  return intervals && joined(intervals);
}

function read(answer: Answer, budget: Budget): readonly Interval[] | undefined {
  budget.spend();
  switch (answer.kind) {
    case "tuple":
      return readInterval(answer, budget);
    case "list":
      if (answer.items.some(isExclusion) && !answer.items.every(isExclusion))
        return readExclusions(answer.items, budget);
      return all(answer.items.map((item) => readItem(item, budget)));
    case "set":
      return all(answer.items.map((item) => readItem(item, budget)));
    case "union":
      return all(answer.parts.map((part) => read(part, budget)));
    case "difference":
      return subtract(answer, budget);
    case "numbers":
      if (answer.name === "R") return [EVERYTHING];
      if (answer.name === "R+") return [{ ...EVERYTHING, low: zero() }];
      return answer.name === "R-" ? [{ ...EVERYTHING, high: zero() }] : undefined;
    case "relation":
      return readRelation(answer, budget);
    default:
      return undefined;
  }
}

const readItem = (item: Answer, budget: Budget): readonly Interval[] | undefined =>
  item.kind === "expression" ? readPoint(item, budget) : read(item, budget);

/** `x ≠ 1`. */
const isExclusion = (item: Answer): boolean => item.kind === "relation" && item.relations.join() === "!=";

/** `x > 0, x ≠ 1`: the points are taken out of what the others say. */
function readExclusions(items: readonly Answer[], budget: Budget): readonly Interval[] | undefined {
  const others = items.filter((item) => !isExclusion(item));
  const points = items.filter(isExclusion).map((item) => (item as Answer & { kind: "relation" }).sides[1]!);
  if (others.length !== 1) return undefined;
  return subtract({ kind: "difference", whole: others[0]!, without: { kind: "set", items: points } }, budget);
}

function zero(): Bound {
  return { node: { kind: "number", value: { numerator: 0n, denominator: 1n } }, value: 0 };
}

function all(parts: readonly (readonly Interval[] | undefined)[]): readonly Interval[] | undefined {
  return parts.some((part) => part === undefined) ? undefined : parts.flatMap((part) => part!);
}

function boundOf(answer: Answer | undefined, budget: Budget): Bound | undefined {
  if (answer?.kind !== "expression" || answer.percent) return undefined;
  const { node } = answer;
  if (node.kind === "constant" && node.name === "infinity") return MOST;
  if (node.kind === "apply" && node.name === "negate" && isInfinity(node.args[0])) return LEAST;
  if (symbolsOf(node).length > 0) return undefined;
  const value = numericValue(node, new Map(), budget);
  return value === undefined || !isReal(value) ? undefined : { node, value: approximate(value) };
}

const isInfinity = (node: Node | undefined) => node?.kind === "constant" && node.name === "infinity";

function readPoint(answer: Answer, budget: Budget): readonly Interval[] | undefined {
  const bound = boundOf(answer, budget);
  return bound?.node && [{ low: bound, high: bound, openLow: false, openHigh: false }];
}

function readInterval(
  { open, close, items }: Answer & { kind: "tuple" },
  budget: Budget,
): readonly Interval[] | undefined {
  const [low, high] = items.map((item) => boundOf(item, budget));
  if (items.length !== 2 || low === undefined || high === undefined || low.value > high.value) return undefined;
  return [interval(low, high, open === "(", close === ")")];
}

/** An infinite end is open, whatever its bracket. */
function interval(low: Bound, high: Bound, openLow: boolean, openHigh: boolean): Interval {
  return { low, high, openLow: openLow || low.node === undefined, openHigh: openHigh || high.node === undefined };
}

/** `1 < x ≤ 2`, `3 ≥ x`, `x ≠ 1`, `x ∈ S`: of one symbol. */
function readRelation(
  { relations, sides }: Answer & { kind: "relation" },
  budget: Budget,
): readonly Interval[] | undefined {
  const isSymbol = (side: Answer | undefined) =>
    side?.kind === "expression" && side.node.kind === "symbol" && !side.unit;
  const [first, second, third] = sides;
  if (relations.length === 1) {
    const relation = relations[0]!;
    const around = absoluteOf(first) ? readAbsolute(relation, first!, second!, budget) : undefined;
    if (around) return around;
    if (!isSymbol(first)) return isSymbol(second) ? readRelation(turned(relation, second!, first!), budget) : undefined;
    if (relation === "in") return read(second!, budget);
    const bound = boundOf(second, budget);
    if (!bound?.node) return undefined;
    if (relation === "!=") return [interval(LEAST, bound, true, true), interval(bound, MOST, true, true)];
    if (relation === "=") return readPoint(second!, budget);
    if (relation.startsWith("<")) return [interval(LEAST, bound, true, relation === "<")];
    return relation.startsWith(">") ? [interval(bound, MOST, relation === ">", true)] : undefined;
  }
  if (relations.length !== 2 || !isSymbol(second)) return undefined;
  const [left, right] = relations as [string, string];
  const [a, b] = [boundOf(first, budget), boundOf(third, budget)];
  if (!a || !b || left[0] !== right[0] || !/^[<>]/.test(left)) return undefined;
  const [low, high, openLow, openHigh] =
    left[0] === "<" ? [a, b, left === "<", right === "<"] : [b, a, right === ">", left === ">"];
  return low.value <= high.value ? [interval(low, high, openLow, openHigh)] : undefined;
}

const absoluteOf = (side: Answer | undefined): Node | undefined =>
  side?.kind === "expression" && !side.unit && side.node.kind === "apply" && side.node.name === "abs"
    ? side.node.args[0]
    : undefined;

/** `|a·x + b| < c` and its like: x between (−c − b)/a and (c − b)/a, or outside. */
function readAbsolute(relation: string, left: Answer, right: Answer, budget: Budget): readonly Interval[] | undefined {
  const inner = absoluteOf(left)!;
  const [symbol, ...others] = symbolsOf(inner);
  const bound = boundOf(right, budget);
  if (symbol === undefined || others.length > 0 || !bound?.node || !(bound.value > 0) || !/^[<>]/.test(relation))
    return undefined;
  const at = (x: bigint) => exactValue(inner, new Map([[symbol, { numerator: x, denominator: 1n }]]), budget);
  const [zeroth, first, fifth] = [at(0n), at(1n), at(5n)];
  if (typeof zeroth === "string" || typeof first === "string" || typeof fifth === "string") return undefined;
  const slope = combine("-", first, zeroth)!;
  // Three points on a line: a formula that bends elsewhere is not asked for.
  const isLinear = equal(fifth, combine("+", zeroth, combine("*", slope, { numerator: 5n, denominator: 1n })!)!);
  if (
    !isLinear ||
    slope.numerator === 0n ||
    hasPart(inner, ({ kind, ...part }) => kind === "apply" && !LINEAR.has((part as { name: string }).name))
  )
    return undefined;
  const ends = [apply("negate", bound.node), bound.node].map((end) =>
    boundOf(
      { kind: "expression", node: apply("divide", apply("subtract", end, numberNode(zeroth)), numberNode(slope)) },
      budget,
    ),
  );
  const [low, high] = slope.numerator > 0n ? ends : [...ends].reverse();
  if (!low || !high) return undefined;
  const isOpen = relation.length === 1;
  if (relation.startsWith("<")) return [interval(low, high, isOpen, isOpen)];
  return [interval(LEAST, low, true, isOpen), interval(high, MOST, isOpen, true)];
}

const LINEAR: ReadonlySet<string> = new Set(["add", "subtract", "multiply", "divide", "negate"]);
const numberNode = (value: Rational): Node => ({ kind: "number", value });

function turned(relation: string, left: Answer, right: Answer): Answer & { kind: "relation" } {
  const mirror: Readonly<Record<string, string>> = { "<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!=" };
  const name = (mirror[relation] ?? "approx") as (Answer & { kind: "relation" })["relations"][number];
  return { kind: "relation", relations: [name], sides: [left, right] };
}

function subtract(
  { whole, without }: Answer & { kind: "difference" },
  budget: Budget,
): readonly Interval[] | undefined {
  const gaps = read(without, budget);
  let rest = read(whole, budget);
  for (const gap of gaps ?? []) {
    rest = rest?.flatMap((part) => {
      if (gap.high.value < part.low.value || gap.low.value > part.high.value) return [part];
      const left = { ...part, high: gap.low, openHigh: !gap.openLow };
      const right = { ...part, low: gap.high, openLow: !gap.openHigh };
      return [left, right].filter(
        ({ low, high, openLow, openHigh }) =>
          low.value < high.value || (low.value === high.value && !openLow && !openHigh && low.node !== undefined),
      );
    });
  }
  return gaps && rest;
}

/** In order, what touches or overlaps in one. */
function joined(intervals: readonly Interval[]): readonly Interval[] {
  const sorted = [...intervals].sort((a, b) => a.low.value - b.low.value || Number(a.openLow) - Number(b.openLow));
  const result: Interval[] = [];
  for (const next of sorted) {
    const last = result.at(-1);
    const touches =
      last &&
      (next.low.value < last.high.value || (next.low.value === last.high.value && !(next.openLow && last.openHigh)));
    if (!touches) {
      if (next.low.value < next.high.value || (!next.openLow && !next.openHigh)) result.push(next);
      continue;
    }
    const reaches = next.high.value > last.high.value || (next.high.value === last.high.value && !next.openHigh);
    if (reaches) result[result.length - 1] = { ...last, high: next.high, openHigh: next.openHigh };
  }
  return result;
}

/** Difference of two sides, for comparing equations. */
export function zeroForm(left: Node, right: Node): Node {
  return apply("subtract", left, right);
}
