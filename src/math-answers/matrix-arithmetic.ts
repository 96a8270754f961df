/** Matrices in a formula, worked out entry by entry: `\frac{1}{3}M`, `-M`, `M + N`, `M - 2N`, `MN`. */

import { closingOf, depthChange, depthOf, isSign } from "./brackets.ts";
import { parseFormula } from "./parse.ts";
import { readMatrix } from "./read-matrix.ts";
import { ParseFault } from "./signs.ts";
import type { AnswerToken } from "./tokens.ts";
import { type Answer, apply, type Node, wholeNode } from "./tree.ts";

type Rows = readonly (readonly Node[])[];

/** More factors in a product, or larger ones, are not worked out: entries grow with both. */
const MAX_FACTORS = 4;
const MAX_SIZE = 6;

/** The matrix that a formula of several matrices, or of one with a factor, makes; undefined where there is none. @throws ParseFault */
export function readMatrixFormula(tokens: readonly AnswerToken[]): Answer | undefined {
  const opens = tokens.findIndex((token) => isBegin(token));
  if (opens < 0 || depthOf(tokens.slice(0, opens)) !== 0) return undefined;
  if (opens === 0 && closingOf(tokens, 0) === tokens.length - 1) return undefined;
  const terms = termsOf(tokens);
  if (!terms.every(({ part }) => part.some(isBegin))) return undefined;
  const rows = terms.map(({ part, sign }) => productOf(part, sign)).reduce(sumOf);
  return { kind: "matrix", rows };
}

const isBegin = ({ type, text }: AnswerToken): boolean => type === "sign" && text.startsWith("begin ");

/** The parts between + and − outside of brackets, with their signs. */
function termsOf(
  tokens: readonly AnswerToken[],
): readonly { readonly part: readonly AnswerToken[]; readonly sign: 1 | -1 }[] {
  const terms: { part: AnswerToken[]; sign: 1 | -1 }[] = [{ part: [], sign: 1 }];
  let depth = 0;
  for (const token of tokens) {
    depth += depthChange(token);
    const isSignOfTerm = depth === 0 && (isSign(token, "+") || isSign(token, "-"));
    if (!isSignOfTerm) terms.at(-1)!.part.push(token);
    else if (terms.at(-1)!.part.length > 0) terms.push({ part: [], sign: token.text === "-" ? -1 : 1 });
    else if (token.text === "-") terms.at(-1)!.sign *= -1;
  }
  return terms;
}

function productOf(tokens: readonly AnswerToken[], sign: 1 | -1): Rows {
  const scalars: Node[] = sign < 0 ? [apply("negate", wholeNode(1))] : [];
  const matrices: Rows[] = [];
  for (let at = 0; at < tokens.length; ) {
    const next = tokens.findIndex((token, i) => i >= at && isBegin(token));
    const end = next < 0 ? tokens.length : next;
    const between = tokens
      .slice(at, end)
      .filter((token, i, all) => !(isSign(token, "*") && (i === 0 || i === all.length - 1)));
    if (between.length > 0) scalars.push(parseFormula(between));
    if (next < 0) break;
    const close = closingOf(tokens, next);
    if (close < 0) throw new ParseFault("a matrix does not end");
    matrices.push(readMatrix(tokens.slice(next, close + 1)));
    at = close + 1;
  }
  if (matrices.length > MAX_FACTORS) throw new ParseFault(`it multiplies more than ${MAX_FACTORS} matrices`);
  const product = matrices.reduce(timesMatrix);
  return scalars.reduce<Rows>(
    (rows, factor) => rows.map((row) => row.map((cell) => apply("multiply", factor, cell))),
    product,
  );
}

function timesMatrix(left: Rows, right: Rows): Rows {
  if (left[0]!.length !== right.length) throw new ParseFault("it multiplies matrices that do not fit");
  if (Math.max(left.length, right.length, right[0]!.length) > MAX_SIZE)
    throw new ParseFault("it multiplies large matrices");
  return left.map((row) =>
    right[0]!.map((_, j) =>
      row.map((cell, k) => apply("multiply", cell, right[k]![j]!)).reduce((sum, term) => apply("add", sum, term)),
    ),
  );
}

function sumOf(left: Rows, right: Rows): Rows {
  if (left.length !== right.length || left[0]!.length !== right[0]!.length)
    throw new ParseFault("it adds matrices that differ in size");
  return left.map((row, i) => row.map((cell, j) => apply("add", cell, right[i]![j]!)));
}
