/**
 * What a value is the value of: the target of `x = 5`, `f(x) = x + 1`, `Area = 12`, and the value that such a relation states.
 */

import { equal } from "../expression/rational.ts";
import type { JudgementBudget } from "./budget.ts";
import { exactValue } from "./exact.ts";
import { isLabel } from "./labels.ts";
import { segmentName } from "./segments.ts";
import { type Answer, type Node, symbolsOf } from "./tree.ts";

type Expression = Answer & { kind: "expression" };
type Relation = Answer & { kind: "relation" };

/** A list or a set. */
export const isBag = (answer: Answer): answer is Answer & { kind: "list" | "set" } =>
  answer.kind === "list" || answer.kind === "set";

/** What names a value: a symbol, `f(x)`, words, a product of capital letters (a segment AB), a tuple of symbols. */
function targetOf(side: Answer): string | undefined {
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
    return nameOf(side.node.args[0]!);
  return nameOf(side.node);
}

/** A segment AB as words name it, where it is read as one. */
function nameOf(node: Node): string | undefined {
  const name = segmentName(node);
  return name !== undefined && name.length > 1 ? name.toLowerCase() : name;
}

/** `x = 5`, `x ∈ S`, `x ≈ 1.4`: the target, where the relation is an assignment. */
export function targetName({ relations, sides }: Relation): string | undefined {
  return ["=", "in", "approx"].includes(relations[0]!) ? targetOf(sides[0]!) : undefined;
}

const isClosed = (side: Answer): boolean => side.kind === "expression" && symbolsOf(side.node).length === 0;

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
  const isTurned =
    relations.join() === "=" && isClosed(sides[0]!) && (targetOf(sides[1]!) !== undefined || isLabel(sides[1]));
  if (isTurned) return sides[0];
  if (!relations.every((name) => name === "=" || name === "approx" || name === "in")) return undefined;
  const hasTarget = targetOf(sides[0]!) !== undefined;
  if (relations.includes("approx")) return sides[hasTarget ? 1 : 0];
  if (hasTarget && sides.length === 2) return sides[1];
  const stated = hasTarget || isLabel(sides[0]) ? sides.slice(1) : sides;
  // A = s² = 25: the formula between is no value.
  const values = hasTarget && isClosed(stated.at(-1)!) ? stated.filter(isClosed) : stated;
  if (!values.every(isClosed)) return undefined;
  const [first, ...others] = values as readonly Expression[];
  const agree = others.every((side) => isSameClosed(first!.node, side.node));
  return agree ? values.at(-1) : undefined;
}

/** Both exact and equal, or not both exact: then the last one speaks. */
function isSameClosed(a: Node, b: Node): boolean {
  const free = { spend: () => {} } as unknown as JudgementBudget;
  const [x, y] = [exactValue(a, new Map(), free), exactValue(b, new Map(), free)];
  return typeof x === "string" || typeof y === "string" || equal(x, y);
}
