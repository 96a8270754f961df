/**
 * What an answer is once it is read: an expression tree, or a structure of answers (list, set, tuple or interval, union,
 * relation, matrix), or plain words. The trees are data; `exact.ts` and `numeric.ts` give them values.
 */

import type { Rational } from "../expression/rational.ts";

/** A numeral's decimal places and how many of its digits are significant. */
export interface DecimalPlaces {
  /** 10^-places is one unit in the last place; negative for `1.5e6`. */
  readonly places: number;
  readonly significant: number;
}

/** An expression. `apply` names are those of `operators.ts`. */
export type Node =
  | { readonly kind: "number"; readonly value: Rational; readonly decimal?: DecimalPlaces }
  | { readonly kind: "symbol"; readonly name: string }
  | { readonly kind: "constant"; readonly name: ConstantName }
  | { readonly kind: "apply"; readonly name: string; readonly args: readonly Node[] };

export type ConstantName = "pi" | "e" | "i" | "infinity";

/** Relations between two sides; `approx` says that the right side is the left one, rounded. */
export type RelationName = "=" | "<" | "<=" | ">" | ">=" | "!=" | "in" | "approx";

/** What stands around the items of a tuple or an interval. `⟨ ⟩` is written as parentheses. */
export type Bracket = "(" | ")" | "[" | "]";

/** A unit of measure, or words after a value. */
export interface Unit {
  /** The words, singular, lower case. */
  readonly words: readonly string[];
  /** Where all of them are known: dimension and factor to its base unit. */
  readonly measure?: { readonly dimension: string; readonly factor: Rational };
}

/** One reading of an answer. */
export type Answer =
  | {
      readonly kind: "expression";
      readonly node: Node;
      readonly percent?: boolean;
      readonly unit?: Unit;
      /** Written with a colon. */
      readonly isRatio?: true;
      /** The ratio `7:15` is also a time of day: in minutes. */
      readonly minutes?: number;
    }
  | {
      readonly kind: "list";
      readonly items: readonly Answer[];
      /** The word between the items; commas and semicolons are none. */
      readonly joint?: "and" | "or";
    }
  | { readonly kind: "set"; readonly items: readonly Answer[] }
  | {
      readonly kind: "tuple";
      readonly open: Bracket;
      readonly close: Bracket;
      readonly items: readonly Answer[];
      /** Words call it an interval; or it is a point for certain, `A(1, 2)`, `⟨1, 2⟩`, `(x, y) = (1, 2)`. */
      readonly isInterval?: boolean;
      /** `1:2:3`, by its first part; no point. */
      readonly isRatio?: true;
    }
  | { readonly kind: "union"; readonly parts: readonly Answer[] }
  | { readonly kind: "difference"; readonly whole: Answer; readonly without: Answer }
  | { readonly kind: "numbers"; readonly name: string }
  | {
      readonly kind: "relation";
      readonly relations: readonly RelationName[];
      readonly sides: readonly Answer[];
      /** The symbol of `{x | …}`, which may have any name. */
      readonly bound?: string;
    }
  /** An answer for every whole number: `2kπ, k ∈ ℤ`. */
  | {
      readonly kind: "family";
      readonly parameter: string;
      /** ℤ, ℕ, ℤ⁺ …, as a set of numbers is named. */
      readonly over: string;
      readonly member: Answer;
    }
  | { readonly kind: "matrix"; readonly rows: readonly (readonly Node[])[] }
  /** A residue class: `3 (mod 7)`, `x ≡ 3 (mod 7)`. */
  | { readonly kind: "congruence"; readonly residue: Answer; readonly modulus: bigint }
  | { readonly kind: "choice"; readonly letter: string; readonly value?: Answer }
  /** Words; `letters` where they are written as several choices are, `ABD`; `isRatio` where a time could be a ratio, `14:18`. */
  | { readonly kind: "text"; readonly text: string; readonly letters?: boolean; readonly isRatio?: true };

/** `apply` without its braces. */
export function apply(name: string, ...args: readonly Node[]): Node {
  return { kind: "apply", name, args };
}

/** A whole number as a node. */
export function wholeNode(value: bigint | number): Node {
  return { kind: "number", value: { numerator: BigInt(value), denominator: 1n } };
}

/** The index of a sum or product over a range: `apply(name, index, from, to, term)`, name `sum` or `product`. */
export function rangeOf(
  node: Node,
): { readonly index: string; readonly bounds: readonly [Node, Node]; readonly term: Node } | undefined {
  if (node.kind !== "apply" || (node.name !== "sum" && node.name !== "product")) return undefined;
  const [index, from, to, term] = node.args;
  return index?.kind === "symbol" ? { index: index.name, bounds: [from!, to!], term: term! } : undefined;
}

/** Every free symbol of an expression, sorted. */
export function symbolsOf(...nodes: readonly Node[]): string[] {
  const names = new Set<string>();
  const visit = (node: Node): void => {
    const range = rangeOf(node);
    if (range) {
      range.bounds.forEach(visit);
      for (const name of symbolsOf(range.term)) if (name !== range.index) names.add(name);
    } else if (node.kind === "symbol") names.add(node.name);
    else if (node.kind === "apply") node.args.forEach(visit);
  };
  nodes.forEach(visit);
  return [...names].sort();
}

/** The expression with other nodes in the place of some of its parts. */
export function substituted(node: Node, replacement: (part: Node) => Node | undefined): Node {
  const other = replacement(node);
  if (other) return other;
  return node.kind === "apply" ? { ...node, args: node.args.map((arg) => substituted(arg, replacement)) } : node;
}

/** Whether some part of the expression is as asked. */
export function hasPart(node: Node, wanted: (part: Node) => boolean): boolean {
  return wanted(node) || (node.kind === "apply" && node.args.some((arg) => hasPart(arg, wanted)));
}
