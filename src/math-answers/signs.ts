/** What the formula parser knows of single signs: which bracket closes which, where a factor begins, what a letter is. */

import { apply, type Node, substituted } from "./tree.ts";

/** The sign that closes a bracket. */
export const CLOSING: Readonly<Record<string, string>> = {
  "(": ")",
  "[": "]",
  "{": "}",
  "\\{": "\\}",
  lfloor: "rfloor",
  lceil: "rceil",
};

/** Signs that begin a factor without a sign of multiplication before it. */
export const FACTOR_STARTS: ReadonlySet<string> = new Set(
  "( [ { \\{ frac pi infty binom lfloor lceil sum product".split(" "),
);

/** A letter of a product of letters: `e` and `i` are the constants. */
export function plainSymbol(letter: string): Node {
  return letter === "e" || letter === "i" ? { kind: "constant", name: letter } : { kind: "symbol", name: letter };
}

const I: Node = { kind: "constant", name: "i" };

/** cos φ + i sin φ. */
export function cis(angle: Node): Node {
  return apply("add", apply("cos", angle), apply("multiply", I, apply("sin", angle)));
}

/** The number below a bar: with −i for i. What has no i in it stays. */
export function conjugate(node: Node): Node {
  return substituted(node, (part) => (part.kind === "constant" && part.name === "i" ? apply("negate", I) : undefined));
}

/** Thrown where signs are no formula; it never leaves this folder. */
export class ParseFault extends Error {
  override name = "ParseFault";
}
