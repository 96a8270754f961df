/** Vectors and matrices in their other forms: as tuples, as tuples of tuples, as sums over the unit vectors i, j, k. */

import { type Answer, apply, type Node, substituted, symbolsOf, wholeNode } from "./tree.ts";

/** The entries of a matrix of one row or one column. */
export function vectorOf({ rows }: Answer & { kind: "matrix" }): Answer[] | undefined {
  const cells =
    rows.length === 1 ? rows[0] : rows.every(({ length }) => length === 1) ? rows.map((row) => row[0]!) : undefined;
  return cells?.map((node): Answer => ({ kind: "expression", node }));
}

/** `[[1, 2], [3, 4]]`. */
export function rowsOf({ rows }: Answer & { kind: "matrix" }): Answer[] {
  return rows.map(
    (row): Answer => ({
      kind: "tuple",
      open: "[",
      close: "]",
      items: row.map((node) => ({ kind: "expression", node })),
    }),
  );
}

/** Names of the unit vectors; the first is the imaginary unit elsewhere. */
const UNITS = ["i", "j", "k"] as const;

const isUnit = (node: Node, name: string): boolean =>
  (node.kind === "symbol" || node.kind === "constant") && node.name === name;

/**
 * `2i − 3j + k` as its coefficients, where the node is a sum of multiples of unit vectors with a j or k among them; `sum` is
 * what they add up to again, with `linear` the node itself in the same symbols: the two must be the same.
 */
export function unitVectorOf(
  answer: Answer,
  size: number,
): { readonly items: readonly Answer[]; readonly sum: Node; readonly linear: Node } | undefined {
  if (answer.kind !== "expression" || answer.unit || answer.percent || size < 2 || size > 3) return undefined;
  const names = symbolsOf(answer.node);
  if (!names.includes("j") && !names.includes("k")) return undefined;
  if (size === 2 && names.includes("k")) return undefined;
  const units = UNITS.slice(0, size);
  const at = (value: (name: string) => Node) =>
    substituted(answer.node, (part) => {
      const unit = units.find((name) => isUnit(part, name));
      return unit === undefined ? undefined : value(unit);
    });
  const nodes = units.map((unit) => at((name) => wholeNode(name === unit ? 1 : 0)));
  const symbolOf = (name: string): Node => ({ kind: "symbol", name: `unit ${name}` });
  const sum = nodes
    .map((node, index) => apply("multiply", node, symbolOf(units[index]!)))
    .reduce((total, term) => apply("add", total, term));
  return { items: nodes.map((node) => ({ kind: "expression", node })), sum, linear: at(symbolOf) };
}
