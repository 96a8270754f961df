/**
 * Answers as keys: equal answers have equal texts, so that votes can be counted. Numbers are fractions in lowest terms,
 * other expressions their values at fixed points, sets are sorted. Coarser than `equal.ts` in one respect: units and the
 * name that a value is assigned to are left out, since a model gives them at random.
 */

import type { Rational } from "../expression/rational.ts";
import type { JudgementBudget } from "./budget.ts";
import { exactValue } from "./exact.ts";
import { pointOf } from "./identity.ts";
import { numericValue, shownValue } from "./numeric.ts";
import { type Answer, apply, type Node, symbolsOf, wholeNode } from "./tree.ts";

/** The key of an answer. */
export function canonicalForm(answer: Answer, budget: JudgementBudget): string {
  const form = (part: Answer): string => canonicalForm(part, budget);
  switch (answer.kind) {
    case "expression":
      return expressionForm(answer.percent ? apply("divide", answer.node, wholeNode(100)) : answer.node, budget);
    case "list":
    case "set":
      return answer.items.length === 1 ? form(answer.items[0]!) : `{${answer.items.map(form).sort().join(", ")}}`;
    case "tuple":
      return `${answer.isRatio ? "ratio " : ""}${answer.open}${answer.items.map(form).join(", ")}${answer.close}`;
    case "union":
      return answer.parts.map(form).sort().join(" ∪ ");
    case "difference":
      return `${form(answer.whole)} ∖ ${form(answer.without)}`;
    case "relation":
      return relationForm(answer, form);
    case "matrix":
      return `[${answer.rows.map((row) => row.map((cell) => expressionForm(cell, budget)).join(", ")).join("; ")}]`;
    case "congruence":
      return `${form(answer.residue)} mod ${answer.modulus}`;
    case "family":
      return form(answer.member);
    case "choice":
      return answer.letter;
    case "numbers":
      return answer.name;
    case "text":
      return answer.text;
  }
}

function relationForm({ relations, sides }: Answer & { kind: "relation" }, form: (part: Answer) => string): string {
  const [first] = sides;
  const isTarget = first?.kind === "text" || (first?.kind === "expression" && first.node.kind === "symbol");
  if (relations[0] === "=" && isTarget) return form(sides.at(-1)!);
  return sides.map((side, i) => (i === 0 ? form(side) : `${relations[i - 1]} ${form(side)}`)).join(" ");
}

function expressionForm(node: Node, budget: JudgementBudget): string {
  const symbols = symbolsOf(node);
  if (symbols.length === 0) return valueAt(node, new Map(), budget) ?? printed(node);
  const values = ([0, 3, 5] as const).map((index) =>
    valueAt(node, pointOf(symbols, index, index === 5 ? "whole" : "positive"), budget),
  );
  return values.includes(undefined) ? printed(node) : `${symbols.join(",")} ↦ ${values.join(", ")}`;
}

function valueAt(node: Node, point: ReturnType<typeof pointOf>, budget: JudgementBudget): string | undefined {
  const exact = exactValue(node, point, budget);
  if (exact === "undefined") return undefined;
  if (exact !== "irrational") return fractionText(exact);
  const value = numericValue(node, point, budget);
  return value && shownValue(value);
}

function printed(node: Node): string {
  if (node.kind === "number") return fractionText(node.value);
  return node.kind === "apply" ? `${node.name}(${node.args.map(printed).join(", ")})` : node.name;
}

/** All digits: two numbers of equal length and beginning are two keys. */
function fractionText({ numerator, denominator }: Rational): string {
  return denominator === 1n ? String(numerator) : `${numerator}/${denominator}`;
}
