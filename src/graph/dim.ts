/**
 * Dimensions: a number, or a polynomial in named sizes that are known only when a graph runs, e.g. `"B"`, `"R*P+S*C"`.
 *
 * A polynomial is a string in canonical form (monomials and their factors sorted), so two dimensions are the same exactly
 * when they are equal as strings, and shape rules stay checks instead of guesses. Subtraction and division are not
 * needed and not offered.
 */

import { GraphError } from "../errors.ts";

export type Dim = number | string;
export type Shape = readonly Dim[];

/** Monomials by their sorted factors (`""` is the constant), with integer coefficients. */
type Polynomial = Map<string, number>;

function parse(dim: Dim): Polynomial {
  const polynomial: Polynomial = new Map();
  for (const term of String(dim).split("+")) {
    let coefficient = 1;
    const factors: string[] = [];
    for (const factor of term.split("*")) {
      if (/^\d+$/.test(factor)) coefficient *= Number(factor);
      else if (/^[A-Za-z_]\w*$/.test(factor)) factors.push(factor);
      else throw new GraphError(`a dimension is a whole number or a polynomial of names, not ${JSON.stringify(dim)}`);
    }
    addTerm(polynomial, factors.sort().join("*"), coefficient);
  }
  return polynomial;
}

function addTerm(polynomial: Polynomial, factors: string, coefficient: number): void {
  polynomial.set(factors, (polynomial.get(factors) ?? 0) + coefficient);
}

function format(polynomial: Polynomial): Dim {
  const terms = [...polynomial].filter(([, coefficient]) => coefficient !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  if (terms.length === 0) return 0;
  if (terms.length === 1 && terms[0]![0] === "") return terms[0]![1];
  return terms.map(([factors, c]) => (factors === "" ? `${c}` : c === 1 ? factors : `${c}*${factors}`)).join("+");
}

/** a + b. */
export function dimAdd(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = parse(a);
  for (const [factors, coefficient] of parse(b)) addTerm(sum, factors, coefficient);
  return format(sum);
}

/** a · b. */
export function dimMultiply(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const product: Polynomial = new Map();
  const right = parse(b);
  for (const [factorsA, coefficientA] of parse(a)) {
    for (const [factorsB, coefficientB] of right) {
      const factors = [...factorsA.split("*"), ...factorsB.split("*")].filter((f) => f !== "").sort();
      addTerm(product, factors.join("*"), coefficientA * coefficientB);
    }
  }
  return format(product);
}

/** Number of elements of a shape. */
export function shapeSize(shape: Shape): Dim {
  return shape.reduce<Dim>((product, dim) => dimMultiply(product, dim), 1);
}

/** True where both shapes are provably the same. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** `[B, T, 96]`, for messages. */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

const monomialsOf = new Map<string, readonly { readonly coefficient: number; readonly names: readonly string[] }[]>();

/** The value of a dimension for given sizes. Throws GraphError for a name that is not bound. */
export function evaluateDim(dim: Dim, sizes: ReadonlyMap<string, number>): number {
  if (typeof dim === "number") return dim;
  let monomials = monomialsOf.get(dim);
  if (!monomials) {
    const terms = [...parse(dim)];
    monomials = terms.map(([factors, coefficient]) => ({
      coefficient,
      names: factors === "" ? [] : factors.split("*"),
    }));
    monomialsOf.set(dim, monomials);
  }
  let value = 0;
  for (const { coefficient, names } of monomials) {
    let product = coefficient;
    for (const name of names) {
      const size = sizes.get(name);
      if (size === undefined) throw new GraphError(`the size ${name} is bound by no input`);
      product *= size;
    }
    value += product;
  }
  return value;
}

/** True for a dimension that is one name: a size that an input binds. */
export function isSizeName(dim: Dim): dim is string {
  return typeof dim === "string" && !/[*+]/.test(dim);
}

/** NumPy broadcasting of two shapes. Throws GraphError where they do not fit. */
export function broadcastShapes(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const dimA = a[a.length - rank + i] ?? 1;
    const dimB = b[b.length - rank + i] ?? 1;
    if (dimA === dimB || dimB === 1) return dimA;
    if (dimA === 1) return dimB;
    throw new GraphError(`shapes ${showShape(a)} and ${showShape(b)} do not broadcast`);
  });
}
