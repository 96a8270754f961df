/** What stands in brackets: points and intervals, sets, environments, groups that are more than a formula. */

import { closingOf, isSign, splitAt } from "./brackets.ts";
import { readMatrixFormula } from "./matrix-arithmetic.ts";
import { familyOf, progression, spread } from "./read-list.ts";
import { readEnvironment, transposed } from "./read-matrix.ts";
import type { AnswerToken } from "./tokens.ts";
import type { Answer, Bracket } from "./tree.ts";

/** Signs between the two sides of a relation. */
export const RELATIONS: ReadonlySet<string> = new Set(["=", "<", "<=", ">", ">=", "!=", "in", "approx"]);

/** The answer that brackets around all of it make; undefined where it is a formula. @throws ParseFault */
export function readEnclosed(
  tokens: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  const [first, last] = [tokens[0]!, tokens.at(-1)!];
  if (tokens.length === 1 && isSign(first, "emptyset")) return { kind: "set", items: [] };
  const turned = transposed(tokens, inside);
  if (turned) return turned;
  const matrix = readMatrixFormula(tokens);
  if (matrix) return matrix;
  // A point with its name, A(1, 2).
  const isPoint = first.type === "name" && /^[ABD-Z]$/.test(first.text) && isSign(tokens[1], "(");
  if (isPoint && closingOf(tokens, 1) === tokens.length - 1) {
    const point = readEnclosed(tokens.slice(1), inside);
    const name: Answer = { kind: "expression", node: { kind: "symbol", name: first.text } };
    if (point?.kind === "tuple")
      return { kind: "relation", relations: ["="], sides: [name, { ...point, isInterval: false }] };
  }
  if (first.type !== "sign" || closingOf(tokens, 0) !== tokens.length - 1 || tokens.length < 2) return undefined;
  const content = tokens.slice(1, -1);
  if (first.text.startsWith("begin ")) return readEnvironment(first.text.slice("begin ".length), content, inside);
  if (first.text === "\\{" && last.text === "\\}") return readSet(content, inside);
  if (!["(", "["].includes(first.text) || ![")", "]"].includes(last.text)) return undefined;
  const items = progression(splitAt(content, (text) => text === "," || text === ";"));
  const isMatrix = content[0]?.text.startsWith("begin ");
  if (items.length === 1) {
    return isMatrix || (first.text === "(" && last.text === ")") ? groupOf(content, inside) : undefined;
  }
  return { kind: "tuple", open: first.text as Bracket, close: last.text as Bracket, items: items.map(inside) };
}

/** A group in parentheses that is more than a formula, e.g. `(x = 2)`; a formula is read whole. */
function groupOf(
  content: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  return content[0]?.text.startsWith("begin ") ||
    content.some(({ type, text }) => type === "sign" && (RELATIONS.has(text) || text === "or" || text === "\\{"))
    ? inside(content)
    : undefined;
}

function readSet(content: readonly AnswerToken[], inside: (part: readonly AnswerToken[]) => Answer): Answer {
  if (content.length === 0) return { kind: "set", items: [] };
  const [variable, bar] = content;
  if (variable?.type === "name" && (isSign(bar, "|") || isSign(bar, ":")))
    return bound(inside(content.slice(2)), variable.text);
  const isIn =
    isSign(bar, "in") && content[2]?.text.startsWith("mathbb ") && (isSign(content[3], "|") || isSign(content[3], ":"));
  const built = readBuilt(content, inside);
  if (built) return built;
  if (isIn) return bound(inside(content.slice(4)), variable?.text);
  const items = progression(splitAt(content, (text) => text === "," || text === ";"));
  return { kind: "set", items: spread(items.map(inside)) };
}

/** `{2k | k ∈ ℤ}`: the values of an expression for every whole number. */
function readBuilt(
  content: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  const bar = content.findIndex((token) => isSign(token, "|") || isSign(token, ":"));
  if (bar < 2 || content.slice(bar + 1).some((token) => isSign(token, "|")) || !isSign(content[bar + 2], "in"))
    return undefined;
  return familyOf([inside(content.slice(0, bar)), ...spread([inside(content.slice(bar + 1))])]);
}

/** The symbol that a set is built over may have any name. */
function bound(answer: Answer, name: string | undefined): Answer {
  if (answer.kind === "list") return { ...answer, items: answer.items.map((item) => bound(item, name)) };
  return answer.kind === "relation" && name !== undefined ? { ...answer, bound: name } : answer;
}
