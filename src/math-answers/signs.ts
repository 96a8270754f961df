/** What the formula parser knows of single signs: which bracket closes which, where a factor begins, what a letter is. */

import type { Node } from "./tree.ts";

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

/** Thrown where signs are no formula; it never leaves this folder. */
export class ParseFault extends Error {
  override name = "ParseFault";
}
