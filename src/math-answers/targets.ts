/**
 * What a value is the value of: the target of `x = 5`, `f(x) = x + 1`, `Area = 12`, the value that such a relation states,
 * and several of them by name.
 */

import { equal } from "../expression/rational.ts";
import type { Budget } from "./budget.ts";
import { exactValue } from "./exact.ts";
import { type Answer, type Node, symbolsOf } from "./tree.ts";

type Expression = Answer & { kind: "expression" };
type Relation = Answer & { kind: "relation" };

/** A list or a set. */
export const isBag = (answer: Answer): answer is Answer & { kind: "list" | "set" } =>
  answer.kind === "list" || answer.kind === "set";

/** What names a value: a symbol, `f(x)`, words, a product of capital letters (a segment AB), a tuple of symbols. */
export function targetOf(side: Answer): string | undefined {
  if (side.kind === "text") return side.text;
  if (side.kind === "choice" && !side.value) return side.letter;
  if (side.kind === "tuple") {
    const names = side.items.map(targetOf);
    return names.every((name) => name !== undefined) ? `(${names.join(",")})` : undefined;
  }
  if (side.kind !== "expression" || side.percent || side.unit) return undefined;
  if (side.node.kind === "symbol") return side.node.name;
  if (side.node.kind === "apply" && side.node.name === "abs")
    // |AB| is the length of AB; |x| is not x.
    return segmentName(side.node.args[0]!);
  return segmentName(side.node);
}

function segmentName(node: Node): string | undefined {
  if (node.kind === "symbol") return /^[A-Z]/.test(node.name) ? node.name : undefined;
  if (node.kind !== "apply" || node.name !== "multiply") return undefined;
  const [first, second] = node.args.map(segmentName);
  return first !== undefined && second !== undefined ? first + second : undefined;
}

/** `x = 5`, `x ∈ S`, `x ≈ 1.4`: the target, where the relation is an assignment. */
function targetName({ relations, sides }: Relation): string | undefined {
  return ["=", "in", "approx"].includes(relations[0]!) ? targetOf(sides[0]!) : undefined;
}

const isClosed = (side: Answer): boolean => side.kind === "expression" && symbolsOf(side.node).length === 0;

/** `a + b + c`: a combination of symbols that a question asks the value of, where it stands before `=`. */
function isCombination(side: Answer | undefined): boolean {
  if (side?.kind !== "expression" || side.percent || side.unit) return false;
  const isSum = (node: Node): boolean =>
    node.kind === "apply" && node.name === "add" && node.args.every((arg) => arg.kind === "symbol" || isSum(arg));
  return isSum(side.node);
}

/** Whether some item is an assignment. */
export const hasTargets = (answer: Answer): boolean =>
  isBag(answer) && answer.items.some((item) => item.kind === "relation" && targetName(item) !== undefined);

/** Whether two relations are about different things; where one names nothing, they are. */
export function targetsDiffer(gold: Answer, answer: Answer): boolean {
  if (gold.kind !== "relation" || answer.kind !== "relation") return false;
  const [g, a] = [targetName(gold), targetName(answer)].map((name) => (name === "f(x)" ? "y" : name));
  return g === undefined || a === undefined || g !== a;
}

/** The value of `x = value`; of `x = a + b = value` the last, if all say the same; of `value ≈ 1.41` the first. Of an
 * answer that is no relation itself; undefined for relations without a value. */
export function statedValue(answer: Answer): Answer | undefined {
  if (answer.kind !== "relation") return answer;
  const { relations, sides } = answer;
  const isTurned = relations.join() === "=" && isClosed(sides[0]!) && targetOf(sides[1]!) !== undefined;
  if (isTurned) return sides[0];
  if (!relations.every((name) => name === "=" || name === "approx" || name === "in")) return undefined;
  const hasTarget = targetOf(sides[0]!) !== undefined;
  if (relations.includes("approx")) return sides[hasTarget ? 1 : 0];
  if (hasTarget && sides.length === 2) return sides[1];
  const values = hasTarget || isCombination(sides[0]) ? sides.slice(1) : sides;
  if (!values.every(isClosed)) return undefined;
  const [first, ...others] = values as readonly Expression[];
  const agree = others.every((side) => isSameClosed(first!.node, side.node));
  return agree ? values.at(-1) : undefined;
}

/** Both exact and equal, or not both exact: then the last one speaks. */
function isSameClosed(a: Node, b: Node): boolean {
  const free = { spend: () => {} } as unknown as Budget;
  const [x, y] = [exactValue(a, new Map(), free), exactValue(b, new Map(), free)];
  return typeof x === "string" || typeof y === "string" || equal(x, y);
}

/** `x = 1, y = 2` by name: at least two assignments, each to another symbol. */
export function assignmentsOf(answer: Answer): ReadonlyMap<string, Answer> | undefined {
  if (answer.kind !== "list" && answer.kind !== "set" && answer.kind !== "tuple") return undefined;
  const map = new Map<string, Answer>();
  for (const item of answer.items) {
    const name = item.kind === "relation" ? targetName(item) : undefined;
    const value = name === undefined ? undefined : statedValue(item);
    if (value === undefined || map.has(name!)) return undefined;
    map.set(name!, value);
  }
  return map.size > 1 ? map : undefined;
}

/** `x_1 = 1, x_2 = −2`: the roots of x, which have no order; undefined where the names are others. */
export function indexedRoots(answer: Answer): Answer | undefined {
  if (!isBag(answer) || answer.items.length < 2) return undefined;
  const letters = new Set<string>();
  const items = answer.items.map((item) => {
    const [, letter] = /^([a-z])_\d$/.exec((item.kind === "relation" && targetName(item)) || "") ?? [];
    letters.add(letter ?? "");
    return statedValue(item);
  });
  if (letters.size !== 1 || letters.has("") || items.includes(undefined)) return undefined;
  const [name] = letters as Set<string>;
  const target: Answer = { kind: "expression", node: { kind: "symbol", name: name! } };
  return {
    kind: "list",
    items: items.map((item): Answer => ({ kind: "relation", relations: ["="], sides: [target, item!] })),
  };
}

/** The values of assignments in their order, as a point. */
export function withoutTargets(answer: Answer, assignments: ReadonlyMap<string, Answer> | undefined): Answer {
  if (assignments) return { kind: "tuple", open: "(", close: ")", items: [...assignments.values()] };
  if (!isBag(answer)) return answer;
  return { kind: "tuple", open: "(", close: ")", items: answer.items };
}
