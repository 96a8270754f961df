/**
 * Lists that say more than their items: an ellipsis between whole numbers (`1, 2, …, 10`), and a value for every whole
 * number (`2kπ, k ∈ ℤ`), whose parameter may have any name.
 */

import { closingOf, isSign } from "./brackets.ts";
import { ParseFault } from "./signs.ts";
import type { AnswerToken } from "./tokens.ts";
import { type Answer, type Node, symbolsOf } from "./tree.ts";

/** More items are not written out. */
const MAX_ITEMS = 1000;

/** The items with each ellipsis replaced by the whole numbers that it leaves out. @throws ParseFault */
export function progression(parts: readonly (readonly AnswerToken[])[]): readonly (readonly AnswerToken[])[] {
  const at = parts.findIndex(isEllipsis);
  if (at < 0) return parts;
  const fault = new ParseFault("it has \\ldots in it");
  const [before, first, next] = [parts[at - 2], parts[at - 1], parts[at + 1]].map(wholeOf);
  if (first === undefined || next === undefined || parts.slice(at + 1).some(isEllipsis)) throw fault;
  const step = at >= 2 ? (before === undefined ? undefined : first - before) : 1;
  if (step === undefined || step === 0 || (next - first) % step !== 0 || (next - first) / step > MAX_ITEMS) throw fault;
  const left: AnswerToken[][] = [];
  for (let value = first + step; step > 0 ? value < next : value > next; value += step) {
    left.push([
      ...(value < 0 ? [{ type: "sign" as const, text: "-", spaced: false }] : []),
      { type: "number", text: String(Math.abs(value)), spaced: false },
    ]);
  }
  return [...parts.slice(0, at), ...left, ...parts.slice(at + 1)];
}

const isEllipsis = (part: readonly AnswerToken[]): boolean => part.length === 1 && isSign(part[0], "ldots");

function wholeOf(part: readonly AnswerToken[] | undefined): number | undefined {
  if (part === undefined) return undefined;
  const negative = part.length === 2 && isSign(part[0], "-");
  const numeral = part.at(-1);
  if (part.length !== (negative ? 2 : 1) || numeral?.type !== "number" || !/^\d{1,9}$/.test(numeral.text))
    return undefined;
  return (negative ? -1 : 1) * Number(numeral.text);
}

/** `2kπ (k ∈ ℤ)`: the value and what says about its symbol, as two parts. */
export function namedGroup(tokens: readonly AnswerToken[]): AnswerToken[][] | undefined {
  const open = tokens.findIndex(
    (token, i) => isSign(token, "(") && tokens[i + 1]?.type === "name" && isSign(tokens[i + 2], "in"),
  );
  if (open <= 0 || isSign(tokens[open - 1], "in") || closingOf(tokens, open) !== tokens.length - 1) return undefined;
  return [tokens.slice(0, open), tokens.slice(open + 1, -1)];
}

/** The family that a list states: values in a symbol, and that this symbol is a whole number. */
export function familyOf(items: readonly Answer[]): Answer | undefined {
  const named = items.map(wholeSymbolOf).find((found) => found !== undefined);
  if (named === undefined) return undefined;
  const { parameter, over } = named;
  const values = items.filter((item) => wholeSymbolOf(item)?.parameter !== parameter);
  // `x > 0, x ∈ ℤ` restricts what is asked for and is no family.
  if (values.length === 0 || !values.some((value) => dependsOn(value, parameter))) return undefined;
  return {
    kind: "family",
    parameter,
    over,
    member: values.length === 1 ? values[0]! : { kind: "list", items: values },
  };
}

/** The symbol of `k ∈ ℤ`, `k ∈ ℕ`, and its numbers: ℕ, with or without 0, is what ℤ⁺, ℕ⁺ and ℕ* are called too. */
function wholeSymbolOf(item: Answer): { readonly parameter: string; readonly over: string } | undefined {
  if (item.kind !== "relation" || item.relations.join() !== "in") return undefined;
  const [symbol, numbers] = item.sides;
  if (numbers?.kind !== "numbers" || !/^[ZN]/.test(numbers.name)) return undefined;
  if (symbol?.kind !== "expression" || symbol.node.kind !== "symbol") return undefined;
  return { parameter: symbol.node.name, over: /^(?:N[+*]?|Z\+)$/.test(numbers.name) ? "N" : numbers.name };
}

function dependsOn(value: Answer, name: string): boolean {
  const nodes: readonly Node[] =
    value.kind === "expression"
      ? [value.node]
      : value.kind === "relation" && value.relations.join() === "="
        ? value.sides.slice(1).flatMap((side) => (side.kind === "expression" ? [side.node] : []))
        : [];
  return nodes.some((node) => symbolsOf(node).includes(name));
}

/** Two solutions in one item (`±2`) are two items. */
export function spread(items: readonly Answer[]): Answer[] {
  return items.flatMap((item) => (item.kind === "list" ? item.items : [item]));
}
