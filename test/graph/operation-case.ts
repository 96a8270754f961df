/** What a case of an operation is, and the operands that cases are made of. */

import type { Dim } from "../../src/graph/dim.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { array, type NumberArray, randomArray } from "./arrays.ts";

/** An operand: its values, its shape where that has names, and whether a gradient flows into it. */
export interface Operand {
  readonly values: NumberArray;
  readonly shape?: readonly Dim[];
  /** Of bfloat16 the values are the bits. */
  readonly dtype?: "int64" | "uint8" | "bfloat16";
  /** False: an index, or a table that is never trained. */
  readonly differentiable?: false;
}

type Operands<Value> = Readonly<Record<string, Value>>;

export interface OperationCase {
  /** The exported function under test. */
  readonly operation: string;
  readonly title: string;
  readonly operands: Operands<Operand>;
  readonly apply: (operands: Operands<Tensor>) => Tensor;
  readonly reference: (operands: Operands<NumberArray>) => NumberArray;
}

/** Operands that stand away from a function's kink or pole. */
export const positive = (dims: readonly number[], seed: number): Operand => ({
  values: randomArray(dims, seed, 0.4, 2),
});
export const float = (dims: readonly number[], seed: number, shape?: readonly Dim[]): Operand => ({
  values: randomArray(dims, seed),
  ...(shape && { shape }),
});
export const indices = (dims: readonly number[], values: readonly number[], shape?: readonly Dim[]): Operand => ({
  values: array(dims, values),
  dtype: "int64",
  differentiable: false,
  ...(shape && { shape }),
});

export const sigma = (x: number) => 1 / (1 + Math.exp(-x));
