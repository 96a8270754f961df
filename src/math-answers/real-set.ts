/**
 * Sets of real numbers as intervals in order: the common form of `(1, 2] ∪ [3, ∞)`, `x < 1 or x > 2`, `x ≠ 1`, `ℝ∖{1}`
 * and of single points. Bounds are expressions; their order is decided by value.
 */

import { applyOperator, equal, type Rational } from "../expression/rational.ts";
import type { JudgementBudget } from "./budget.ts";
import { symbolsOfConditions } from "./conditions.ts";
import { exactValue } from "./exact.ts";
import {
  type Bound,
  EVERYTHING,
  type Interval,
  interval,
  isFilled,
  joined,
  LEAST,
  MOST,
  meet,
  without,
} from "./intervals.ts";
import { approximate, isReal, numericValue } from "./numeric.ts";
import { type Answer, apply, hasPart, type Node, symbolsOf } from "./tree.ts";

/** The intervals, ascending and not touching; undefined where the answer is no set of real numbers with known bounds. */
export function realSetOf(answer: Answer, budget: JudgementBudget): readonly Interval[] | undefined {
  const intervals = read(answer, budget);
  return intervals && joined(intervals);
}

function read(answer: Answer, budget: JudgementBudget): readonly Interval[] | undefined {
  budget.spend();
  switch (answer.kind) {
    case "tuple":
      return readInterval(answer, budget);
    case "list":
      return readList(answer, budget);
    case "set":
      // A pair in braces is a point.
      if (answer.items.some(({ kind }) => kind === "tuple")) return undefined;
      return all(answer.items.map((item) => readItem(item, budget)));
    case "union":
      return all(answer.parts.map((part) => read(part, budget)));
    case "difference":
      return subtracted(answer, budget);
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

const readItem = (item: Answer, budget: JudgementBudget): readonly Interval[] | undefined =>
  item.kind === "expression" ? readPoint(item, budget) : read(item, budget);

type Relation = Answer & { kind: "relation" };

const relationsOf = (item: Answer): string => (item.kind === "relation" ? item.relations.join() : "");

/**
 * What the items of a list say together. Intervals and values are united. Conditions on one symbol hold together (`x > 1,
 * x < 3`), unless "or" stands between them or no number meets them all (`x < 1, x > 3`); `x ≠ 1` always takes a point away.
 */
function readList(
  { items, joint }: Answer & { kind: "list" },
  budget: JudgementBudget,
): readonly Interval[] | undefined {
  if (symbolsOfConditions(items).length > 1) return undefined;
  const isExclusion = (item: Answer) => relationsOf(item) === "!=";
  const sets = items.filter((item) => !isExclusion(item)).map((item) => readItem(item, budget));
  const gaps = all(items.filter(isExclusion).map((item) => readPoint((item as Relation).sides[1]!, budget)));
  const united = all(sets);
  if (united === undefined || gaps === undefined || overlap(items, united)) return undefined;
  const areConditions = items.every((item) => item.kind === "relation") && items.some((item) => isBound(item));
  const met = areConditions && joint !== "or" ? joined(sets.reduce((met, set) => meet(met!, set!), [EVERYTHING])!) : [];
  return without(met.length > 0 ? met : sets.length > 0 ? united : [EVERYTHING], gaps);
}

const isBound = (item: Answer): boolean => /[<>]/.test(relationsOf(item));

/** Points that look like intervals: `(1, 3), (2, 4)`. Nobody writes a set in pieces that overlap. */
function overlap(items: readonly Answer[], parts: readonly Interval[]): boolean {
  if (!items.some(({ kind }) => kind === "tuple")) return false;
  const sorted = [...parts].sort((a, b) => a.low.value - b.low.value || a.high.value - b.high.value);
  return sorted.some((part, i) => i > 0 && part.low.value < sorted[i - 1]!.high.value);
}

function subtracted(
  { whole, without: taken }: Answer & { kind: "difference" },
  budget: JudgementBudget,
): readonly Interval[] | undefined {
  const [rest, gaps] = [read(whole, budget), read(taken, budget)];
  return rest && gaps && without(rest, gaps);
}

function zero(): Bound {
  return { node: { kind: "number", value: { numerator: 0n, denominator: 1n } }, value: 0 };
}

function all(parts: readonly (readonly Interval[] | undefined)[]): readonly Interval[] | undefined {
  return parts.some((part) => part === undefined) ? undefined : parts.flatMap((part) => part!);
}

function boundOf(answer: Answer | undefined, budget: JudgementBudget): Bound | undefined {
  if (answer?.kind !== "expression" || answer.percent) return undefined;
  const { node } = answer;
  if (node.kind === "constant" && node.name === "infinity") return MOST;
  if (node.kind === "apply" && node.name === "negate" && isInfinity(node.args[0])) return LEAST;
  if (symbolsOf(node).length > 0) return undefined;
  const value = numericValue(node, new Map(), budget);
  return value === undefined || !isReal(value) ? undefined : { node, value: approximate(value) };
}

const isInfinity = (node: Node | undefined): boolean => node?.kind === "constant" && node.name === "infinity";

function readPoint(answer: Answer, budget: JudgementBudget): readonly Interval[] | undefined {
  const bound = boundOf(answer, budget);
  return bound?.node && [{ low: bound, high: bound, openLow: false, openHigh: false }];
}

function readInterval(
  { open, close, items, isInterval: isCalled }: Answer & { kind: "tuple" },
  budget: JudgementBudget,
): readonly Interval[] | undefined {
  if (isCalled === false) return undefined;
  const [low, high] = items.map((item) => boundOf(item, budget));
  if (items.length !== 2 || low === undefined || high === undefined) return undefined;
  const part = interval(low, high, open === "(", close === ")");
  // (2, 2) is a point of the plane, never an empty interval.
  return isFilled(part) ? [part] : undefined;
}

/** `1 < x ≤ 2`, `3 ≥ x`, `x ≠ 1`, `x ∈ S`: of one symbol. */
function readRelation(
  { relations, sides }: Answer & { kind: "relation" },
  budget: JudgementBudget,
): readonly Interval[] | undefined {
  const isSymbol = (side: Answer | undefined) =>
    side?.kind === "text" || (side?.kind === "expression" && side.node.kind === "symbol" && !side.unit);
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
  if (relations.length === 2 && absoluteOf(second)) {
    // 1 ≤ |x| ≤ 2 is both 1 ≤ |x| and |x| ≤ 2.
    const low = readRelation(turned(relations[0]!, second!, first!), budget);
    const high = readRelation({ kind: "relation", relations: [relations[1]!], sides: [second!, third!] }, budget);
    return low && high && meet(low, high);
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
function readAbsolute(
  relation: string,
  left: Answer,
  right: Answer,
  budget: JudgementBudget,
): readonly Interval[] | undefined {
  const inner = absoluteOf(left)!;
  const [symbol, ...others] = symbolsOf(inner);
  const bound = boundOf(right, budget);
  if (symbol === undefined || others.length > 0 || !bound?.node || !(bound.value > 0) || !/^[<>]/.test(relation))
    return undefined;
  const at = (x: bigint) => exactValue(inner, new Map([[symbol, { numerator: x, denominator: 1n }]]), budget);
  const [zeroth, first, fifth] = [at(0n), at(1n), at(5n)];
  if (typeof zeroth === "string" || typeof first === "string" || typeof fifth === "string") return undefined;
  const slope = applyOperator("-", first, zeroth)!;
  // Three points on a line: a formula that bends elsewhere is not asked for.
  const isLinear = equal(
    fifth,
    applyOperator("+", zeroth, applyOperator("*", slope, { numerator: 5n, denominator: 1n })!)!,
  );
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

/** Whether an answer can only be meant as a set of numbers. A pair in brackets of one kind is a point, unless it is endless. */
export function saysSet(answer: Answer): boolean {
  switch (answer.kind) {
    case "union":
    case "difference":
    case "numbers":
      return true;
    case "tuple":
      return isInterval(answer);
    case "list":
    case "set":
      return answer.items.some(saysSet);
    case "relation":
      return answer.relations.some((name) => name !== "=" && name !== "approx");
    default:
      return false;
  }
}

function isInterval({ open, close, items, isInterval: isCalled }: Answer & { kind: "tuple" }): boolean {
  if (items.length !== 2) return false;
  const isMixed = (open === "(") !== (close === ")");
  return (
    isCalled === true || isMixed || items.some((item) => item.kind === "expression" && hasPart(item.node, isInfinity))
  );
}

/** Difference of two sides, for comparing equations. */
export function zeroForm(left: Node, right: Node): Node {
  return apply("subtract", left, right);
}
