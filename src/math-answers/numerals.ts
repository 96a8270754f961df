/**
 * Numerals as nodes, and the small questions that the formula parser asks of them: whether one is whole, what is a proper
 * fraction, what repeating digits are worth.
 */

import { equal, lessThan, ratio, whole } from "../expression/rational.ts";
import { type Node, wholeNode } from "./tree.ts";

/** A numeral's exact value, with its places where it has a decimal point. */
export function numeralNode(text: string): Node {
  const point = text.indexOf(".");
  if (point < 0) return wholeNode(BigInt(text));
  const digits = text.slice(0, point) + text.slice(point + 1);
  const places = text.length - point - 1;
  return {
    kind: "number",
    value: ratio(BigInt(digits), 10n ** BigInt(places)),
    decimal: { places, significant: digits.replace(/^0+/, "").length },
  };
}

/** A numeral without a decimal point. */
export function isWholeNumeral(node: Node): boolean {
  return node.kind === "number" && node.decimal === undefined;
}

/** A fraction of two whole numerals between 0 and 1. */
export function isProperFraction(node: Node): boolean {
  if (node.kind !== "apply" || node.name !== "divide") return false;
  const [top, bottom] = node.args;
  if (top?.kind !== "number" || bottom?.kind !== "number" || top.decimal || bottom.decimal) return false;
  return lessThan(top.value, bottom.value) && !equal(top.value, whole(0));
}

/** Written as −1. */
export function isMinusOne(node: Node): boolean {
  if (node.kind !== "apply" || node.name !== "negate") return false;
  const [one] = node.args;
  return one?.kind === "number" && equal(one.value, whole(1));
}

/** start.repeated repeated repeated … , exactly. */
export function repeating(start: string, repeated: string): Node {
  const point = start.indexOf(".");
  const places = BigInt(start.length - point - 1);
  const fixed = BigInt(start.slice(0, point) + start.slice(point + 1));
  const cycle = 10n ** BigInt(repeated.length) - 1n;
  return { kind: "number", value: ratio(fixed * cycle + BigInt(repeated), cycle * 10n ** places) };
}
