/**
 * Several conditions in one answer, `x > 2, y > 5` or `x ≠ 1 and x ≠ 2`, and the symbols that they are about. What those on
 * one symbol say together is `real-set.ts`'s.
 */

import { type Answer, symbolsOf } from "./tree.ts";

type Relation = Answer & { kind: "relation" };

/** The conditions of an answer by their symbols, `x` or `x,y`. */
export interface Conditions {
  readonly bySymbol: ReadonlyMap<string, readonly Answer[]>;
  /** "or" between them; else they all hold. */
  readonly joint: "and" | "or";
}

/** The conditions of a list or set of nothing else; undefined where it only assigns values. */
export function conditionsOf(answer: Answer): Conditions | undefined {
  if (answer.kind !== "list" && answer.kind !== "set") return undefined;
  const bySymbol = new Map<string, Answer[]>();
  for (const item of answer.items) {
    if (item.kind !== "relation") return undefined;
    const name = item.bound === undefined ? symbolsOfSides(item) : "";
    bySymbol.set(name, [...(bySymbol.get(name) ?? []), item]);
  }
  if (!answer.items.some((item) => item.kind === "relation" && item.relations.some(restricts))) return undefined;
  return { bySymbol, joint: answer.kind === "list" && answer.joint === "or" ? "or" : "and" };
}

const restricts = (relation: string): boolean => /[<>!]/.test(relation);

/** The symbols that conditions are about; the symbol of a set's definition may have any name. */
export function symbolsOfConditions(items: readonly Answer[]): string[] {
  const names = items.flatMap((item) => {
    if (item.kind === "list") return symbolsOfConditions(item.items);
    return item.kind === "relation" && item.bound === undefined ? [symbolsOfSides(item)] : [];
  });
  return [...new Set(names)].sort();
}

/** The symbols of a relation, as one key; of a function (`0 < f(x) < 1`) its name. */
function symbolsOfSides({ sides }: Relation): string {
  const names = sides.flatMap((side) =>
    side.kind === "expression" ? symbolsOf(side.node) : side.kind === "text" ? [side.text] : [],
  );
  return [...new Set(names)].sort().join();
}
