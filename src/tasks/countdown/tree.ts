/**
 * Expressions as trees: what the generator draws, the solver enumerates and a demonstration writes out. (What a model
 * writes is text and goes through `expression/parse.ts`.)
 */

import {
  applyOperator,
  formatRational,
  isWhole,
  lessThan,
  type Operator,
  type Rational,
  whole,
} from "../../expression/rational.ts";
import type { Draws } from "../draws.ts";

interface Operation {
  readonly operator: Operator;
  readonly left: Tree;
  readonly right: Tree;
}

/** A number (whole, ≥ 0) or an operation on two trees. */
export type Tree = number | Operation;

/** What every intermediate result and the final one have to be; no rule: any fraction. */
export interface ValueRule {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  /** Divisions come out exactly. */
  readonly integersOnly: boolean;
}

const OPERATORS: readonly Operator[] = ["+", "-", "*", "/"];

/** Whether one intermediate result is allowed. */
export function isAllowed(value: Rational, rule: ValueRule | undefined): boolean {
  if (rule === undefined) return true;
  if (rule.integersOnly && !isWhole(value)) return false;
  if (rule.min !== undefined && lessThan(value, whole(rule.min))) return false;
  return rule.max === undefined || !lessThan(whole(rule.max), value);
}

/** The value of a tree; undefined where it divides by zero or breaks the rule on the way. */
export function evaluateTree(tree: Tree, rule?: ValueRule): Rational | undefined {
  if (typeof tree === "number") return whole(tree);
  const left = evaluateTree(tree.left, rule);
  if (left === undefined) return undefined;
  const right = evaluateTree(tree.right, rule);
  if (right === undefined) return undefined;
  const value = applyOperator(tree.operator, left, right);
  return value !== undefined && isAllowed(value, rule) ? value : undefined;
}

/** `(6*3)+3`: no spaces, parentheses around every operation but the outermost. */
export function formatTree(tree: Tree): string {
  if (typeof tree === "number") return String(tree);
  return `${formatOperand(tree.left)}${tree.operator}${formatOperand(tree.right)}`;
}

function formatOperand(tree: Tree): string {
  return typeof tree === "number" ? String(tree) : `(${formatTree(tree)})`;
}

/**
 * `(6*3)+3=18+3=21`: the tree, then one innermost operation carried out at a time, left to right. All values on the way
 * must be whole and ≥ 0 (evaluate with such a rule first), for the notation has no signs.
 */
export function formatSteps(tree: Tree): string {
  let text = formatTree(tree);
  for (let current = tree; typeof current !== "number"; ) {
    current = carryOutOne(current);
    text += `=${formatTree(current)}`;
  }
  return text;
}

function carryOutOne(tree: Operation): Tree {
  const { operator, left, right } = tree;
  if (typeof left !== "number") return { operator, left: carryOutOne(left), right };
  if (typeof right !== "number") return { operator, left, right: carryOutOne(right) };
  const value = applyOperator(operator, whole(left), whole(right));
  if (value === undefined || !isWhole(value) || value.numerator < 0n) {
    throw new RangeError(`${formatTree(tree)} = ${value ? formatRational(value) : "nothing"} has no place in a trace`);
  }
  return Number(value.numerator);
}

/** The tree of a parsed expression's postfix form. Its numbers must be below 2^53, as those of a problem are. */
export function treeOfPostfix(postfix: readonly (bigint | Operator)[]): Tree {
  const stack: Tree[] = [];
  for (const item of postfix) {
    if (typeof item === "bigint") {
      stack.push(Number(item));
    } else {
      const right = stack.pop()!;
      stack.push({ operator: item, left: stack.pop()!, right });
    }
  }
  return stack[0]!;
}

/** The same text for trees that differ only in the order of the operands of + and *. */
export function commutedKey(tree: Tree): string {
  if (typeof tree === "number") return String(tree);
  const left = commutedKey(tree.left);
  const right = commutedKey(tree.right);
  const isOrdered = tree.operator === "-" || tree.operator === "/" || left <= right;
  return isOrdered ? `(${left}${tree.operator}${right})` : `(${right}${tree.operator}${left})`;
}

/** A random tree over all the numbers: their order, where it splits and the operators are each drawn uniformly. */
export function drawTree(numbers: readonly number[], draws: Draws): Tree {
  return growTree(draws.shuffled(numbers), draws);
}

function growTree(leaves: readonly number[], draws: Draws): Tree {
  if (leaves.length === 1) return leaves[0]!;
  const split = draws.between(1, leaves.length - 1);
  const operator = draws.choice(OPERATORS);
  return { operator, left: growTree(leaves.slice(0, split), draws), right: growTree(leaves.slice(split), draws) };
}
