/** What a tensor's numbers are, and how they are arranged. */

import type { Shape } from "./dim.ts";

/** uint8 and bfloat16 are for packed weights, which are only ever inputs; bool stays inside of graphs. */
export type DType = "float32" | "int64" | "int32" | "uint8" | "bfloat16" | "bool";

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Values of a small constant, in a typed array of its dtype. */
export type ConstantData = Float32Array | BigInt64Array | Int32Array;
