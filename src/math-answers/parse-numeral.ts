/** What may belong to a numeral in a formula: digits that repeat behind it, a power of ten. */

import type { Cursor } from "./cursor.ts";
import { numeralNode, repeating } from "./numerals.ts";
import { ParseFault } from "./signs.ts";
import { apply, type Node, wholeNode } from "./tree.ts";

/** A numeral, and what may belong to it: a repeating part (`0.\overline{3}`, `0.(3)`), a power of ten (`1e5`). */
export function readNumeral(text: string, signs: Cursor): Node {
  const dotted = signs.is(".") && signs.is("overline", 1);
  if (dotted) signs.next();
  if ((dotted || text.includes(".")) && signs.is("overline")) {
    signs.next();
    const braced = signs.take("{");
    const repeated = signs.next();
    if (repeated.type !== "number" || repeated.text.includes(".")) throw new ParseFault("no digits repeat");
    if (braced) signs.expect("}");
    return repeating(dotted ? `${text}.` : text, repeated.text);
  }
  const cycle = cycleAfter(text, signs);
  if (cycle) return cycle;
  const exponent = exponentAfter(signs);
  const node = numeralNode(text);
  if (exponent === undefined) return node;
  return apply("multiply", node, apply("power", wholeNode(10), exponent));
}

/** `0.(3)`, `0.1(6)`: the repeating digits in parentheses right behind the others. */
function cycleAfter(text: string, signs: Cursor): Node | undefined {
  const start = signs.is(".") ? 1 : 0;
  const [open, digits] = [signs.peek(start), signs.peek(start + 1)];
  const isPoint = start === 1 || text.includes(".");
  if (!isPoint || open?.spaced || !signs.is("(", start) || !signs.is(")", start + 2)) return undefined;
  if (digits?.type !== "number" || digits.text.includes(".")) return undefined;
  for (let i = 0; i < start + 3; i++) signs.next();
  return repeating(start === 1 ? `${text}.` : text, digits.text);
}

/** The exponent of `e5`, `E-5` right behind a numeral. */
function exponentAfter(signs: Cursor): Node | undefined {
  const letter = signs.peek();
  if (letter?.type !== "name" || letter.spaced || letter.text.toLowerCase() !== "e") return undefined;
  const isSigned = signs.is("-", 1) || signs.is("+", 1);
  const digits = signs.peek(isSigned ? 2 : 1);
  if (digits?.type !== "number" || digits.spaced || digits.text.includes(".")) return undefined;
  if (letter.text === "e" && isSigned && signs.peek(1)!.spaced) return undefined;
  signs.next();
  const negative = isSigned && signs.next().text === "-";
  const value = numeralNode(signs.next().text);
  return negative ? apply("negate", value) : value;
}
