/**
 * Environments of rows: matrices, perhaps with a transposition behind them (formulas of several are
 * `matrix-arithmetic.ts`'s); determinants, worked out;
 * `cases`, a system of equations or the branches of a function as pairs of value and condition.
 */

import { closingOf, isSign, splitAt } from "./brackets.ts";
import { parseFormula } from "./parse.ts";
import { ParseFault } from "./signs.ts";
import type { AnswerToken } from "./tokens.ts";
import { type Answer, apply, type Node } from "./tree.ts";

type Read = (part: readonly AnswerToken[]) => Answer;

const MATRICES: ReadonlySet<string> = new Set(
  "pmatrix bmatrix matrix Bmatrix array smallmatrix psmallmatrix".split(" "),
);
/** Larger determinants are not worked out. */
const MAX_DETERMINANT = 4;

/** What an environment with this content is. @throws ParseFault */
export function readEnvironment(environment: string, content: readonly AnswerToken[], inside: Read): Answer {
  if (environment === "cases" || environment === "dcases") return readCases(content, inside);
  if (environment !== "vmatrix" && !MATRICES.has(environment)) throw new ParseFault(`${environment} is no matrix`);
  const start = environment === "array" && isSign(content[0], "{") ? closingOf(content, 0) + 1 : 0;
  const rows = linesOf(content.slice(start)).map((line) => cellsOf(line).map((cell) => parseFormula(cell)));
  if (rows.length === 0 || rows.some(({ length }) => length !== rows[0]!.length))
    throw new ParseFault("its rows differ in length");
  if (environment !== "vmatrix") return { kind: "matrix", rows };
  if (rows.length !== rows[0]!.length || rows.length > MAX_DETERMINANT)
    throw new ParseFault("it is a determinant that is not worked out");
  return { kind: "expression", node: determinant(rows) };
}

const linesOf = (content: readonly AnswerToken[]): AnswerToken[][] =>
  splitAt(content, (text) => text === "\\\\").filter(({ length }) => length > 0);

const cellsOf = (line: readonly AnswerToken[]): AnswerToken[][] => splitAt(line, (text) => text === "&");

/** By the first row (Laplace). */
function determinant(rows: readonly (readonly Node[])[]): Node {
  const [first, ...others] = rows as [readonly Node[], ...(readonly Node[])[]];
  if (others.length === 0) return first[0]!;
  return first
    .map((cell, j) => apply("multiply", cell, determinant(others.map((row) => row.filter((_, k) => k !== j)))))
    .reduce((sum, term, j) => apply(j % 2 === 0 ? "add" : "subtract", sum, term));
}

/** Words before a condition. */
const CONDITION_WORDS = /^\s*(?:if|for|when|where|,)?\s*$/;

function readCases(content: readonly AnswerToken[], inside: Read): Answer {
  const lines = linesOf(content);
  const joined = lines.map((line) => {
    const cells = cellsOf(line);
    // `x &= 2`: the sign only aligns.
    const isAligned = cells.length === 1 || /^(?:[<>]=?|=|!=|in)$/.test(cells[1]?.[0]?.text ?? "");
    return isAligned ? cells.flat() : undefined;
  });
  if (joined.every((line) => line !== undefined)) return { kind: "list", items: joined.map(inside) };
  const items = lines.map((line): Answer => {
    const [value, ...rest] = cellsOf(line);
    const condition = rest.flat();
    while (condition.length > 1 && isConditionWord(condition[0]!)) condition.shift();
    return { kind: "tuple", open: "(", close: ")", items: [inside(value!), inside(condition)] };
  });
  return { kind: "set", items };
}

const isConditionWord = ({ type, text }: AnswerToken): boolean =>
  (type !== "name" && type !== "number" && CONDITION_WORDS.test(text)) || (type === "sign" && text === ",");

/** The rows of a matrix with its `\begin` and `\end`. @throws ParseFault where it is another environment */
export function readMatrix(tokens: readonly AnswerToken[]): readonly (readonly Node[])[] {
  const matrix = readEnvironment(tokens[0]!.text.slice("begin ".length), tokens.slice(1, -1), () => {
    throw new ParseFault("a system stands in a formula");
  });
  if (matrix.kind !== "matrix") throw new ParseFault("a determinant stands among matrices");
  return matrix.rows;
}

/** `(1, 2)^T`, `\begin{pmatrix}…\end{pmatrix}^{T}`: a point stays as it is, the rows of a matrix become its columns. */
export function transposed(tokens: readonly AnswerToken[], inside: Read): Answer | undefined {
  const close = closingOf(tokens, 0);
  const suffix = tokens
    .slice(close + 1)
    .map(({ text }) => text.trim())
    .join("");
  if (close < 1 || !/^\^\{?(?:T|top)\}?$/.test(suffix)) return undefined;
  const base = inside(tokens.slice(0, close + 1));
  if (base.kind === "tuple") return base;
  if (base.kind !== "matrix") return undefined;
  return { kind: "matrix", rows: base.rows[0]!.map((_, j) => base.rows.map((row) => row[j]!)) };
}
