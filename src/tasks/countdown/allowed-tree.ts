/**
 * A random expression whose intermediate results keep a rule, for numbers with hardly any such expression: of 77, 61,
 * 46 and 50 fewer than one uniform draw in a thousand has only values from 0 to 99. Numbers are put together two at a
 * time, each time by one of the joinings that the rule allows, drawn uniformly.
 *
 * Not uniform over expressions as `drawTree` is: an expression with few alternatives on its way is likelier.
 */

import { whole } from "../../expression/rational.ts";
import type { Draws } from "../draws.ts";
import { type Item, joinings } from "./solver.ts";
import type { Tree, ValueRule } from "./tree.ts";

/** One draw; undefined where it led to numbers that no allowed operation joins. */
export function drawAllowedTree(numbers: readonly number[], rule: ValueRule, draws: Draws): Tree | undefined {
  let items = numbers.map((number): Item => ({ tree: number, value: whole(number) }));
  while (items.length > 1) {
    const nexts = items.flatMap((a, i) =>
      items.slice(i + 1).flatMap((b, offset) => {
        const rest = items.filter((_, index) => index !== i && index !== i + 1 + offset);
        return joinings(a, b, rule).map((joined) => [...rest, joined]);
      }),
    );
    if (nexts.length === 0) return undefined;
    items = draws.choice(nexts);
  }
  return items[0]!.tree;
}
