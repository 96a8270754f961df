/**
 * All ways to reach a target with every number used once, over exact fractions: put any two together by any operation,
 * go on with what is left. For 4 numbers that is 3,888 leaves, for 6 it is 21 million: the caller bounds it.
 *
 * Solutions that differ only in the order of the operands of + and * are given once; those that differ in grouping,
 * `(1+2)+3` and `1+(2+3)`, are different solutions.
 */

import { applyOperator, equal, type Operator, type Rational, whole } from "../../expression/rational.ts";
import { commutedKey, isAllowed, type Tree, type ValueRule } from "./tree.ts";

export interface SolveOptions {
  /** Stop after so many solutions; all by default. */
  readonly limit?: number;
  /** What intermediate results have to be; any fraction by default. */
  readonly rule?: ValueRule | undefined;
}

/** An expression and its value. */
export interface Item {
  readonly tree: Tree;
  readonly value: Rational;
}

const COMMUTATIVE: readonly Operator[] = ["+", "*"];
const DIRECTED: readonly Operator[] = ["-", "/"];

/** The solutions, in a fixed order that depends on the numbers' order. */
export function solve(numbers: readonly number[], target: Rational, options: SolveOptions = {}): Tree[] {
  const solutions = new Map<string, Tree>();
  const limit = options.limit ?? Number.POSITIVE_INFINITY;
  const search = (items: readonly Item[]): void => {
    if (items.length === 1) {
      const only = items[0]!;
      if (equal(only.value, target)) solutions.set(commutedKey(only.tree), only.tree);
      return;
    }
    for (let i = 0; i < items.length; i++) {
      for (let j = i + 1; j < items.length; j++) {
        const rest = items.filter((_, index) => index !== i && index !== j);
        for (const joined of joinings(items[i]!, items[j]!, options.rule)) {
          search([...rest, joined]);
          if (solutions.size >= limit) return;
        }
      }
    }
  };
  if (numbers.length > 0) search(numbers.map((number) => ({ tree: number, value: whole(number) })));
  return [...solutions.values()];
}

/** Every allowed operation on two expressions; of + and * one order. */
export function joinings(a: Item, b: Item, rule: ValueRule | undefined): Item[] {
  const items: Item[] = [];
  const add = (operator: Operator, left: Item, right: Item): void => {
    const value = applyOperator(operator, left.value, right.value);
    if (value === undefined || !isAllowed(value, rule)) return;
    items.push({ tree: { operator, left: left.tree, right: right.tree }, value });
  };
  for (const operator of COMMUTATIVE) add(operator, a, b);
  for (const operator of DIRECTED) {
    add(operator, a, b);
    add(operator, b, a);
  }
  return items;
}
