/**
 * Small dense arrays in double precision, and the plain JavaScript that graph operations are measured against: nothing
 * here is shared with the code under test.
 */

import { Random } from "../../src/random.ts";

/** Numbers in row-major order. */
export interface NumberArray {
  readonly dims: readonly number[];
  readonly values: readonly number[];
}

/** An array of the given dimensions. */
export function array(dims: readonly number[], values: Iterable<number>): NumberArray {
  return { dims, values: [...values] };
}

/** Seeded uniform numbers in [low, high), rounded to f32 so that the runtime sees what the reference sees. */
export function randomArray(dims: readonly number[], seed: number, low = -1.5, high = 1.5): NumberArray {
  const random = new Random(seed, "graph test");
  const count = dims.reduce((product, size) => product * size, 1);
  return array(
    dims,
    Array.from({ length: count }, () => Math.fround(low + (high - low) * random.uniform())),
  );
}

/** Calls `visit` with every index of the dimensions, in row-major order. */
export function eachIndex(dims: readonly number[], visit: (index: number[]) => void): void {
  const count = dims.reduce((product, size) => product * size, 1);
  for (let flat = 0; flat < count; flat++) {
    const index: number[] = [];
    let rest = flat;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      index.unshift(rest % dims[axis]!);
      rest = Math.floor(rest / dims[axis]!);
    }
    visit(index);
  }
}

/** The element at `index`; axes of size 1 and missing leading axes broadcast. */
export function at({ dims, values }: NumberArray, index: readonly number[]): number {
  let flat = 0;
  const lead = index.length - dims.length;
  dims.forEach((size, axis) => {
    flat = flat * size + (size === 1 ? 0 : index[lead + axis]!);
  });
  return values[flat]!;
}

/** A new array whose element at each index is `element(index)`. */
export function build(dims: readonly number[], element: (index: number[]) => number): NumberArray {
  const values: number[] = [];
  eachIndex(dims, (index) => values.push(element(index)));
  return { dims, values };
}

/** Elementwise with broadcasting into `dims`. */
export function zip(dims: readonly number[], f: (...xs: number[]) => number, ...arrays: NumberArray[]): NumberArray {
  return build(dims, (index) => f(...arrays.map((x) => at(x, index))));
}

/** Σ_k of `term(k)` for k below `count`. */
export function total(count: number, term: (k: number) => number): number {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += term(k);
  return sum;
}
