/** What a tensor's numbers are, and how they are arranged. */

import type { Shape } from "./dim.ts";

/** uint8 is for packed weights, which are only ever inputs; bool stays inside of graphs. */
export type DType = FloatDType | "int64" | "int32" | "uint8" | "bool";

/** What operations compute and differentiate in. */
export type FloatDType = "float32" | HalfDType;

/** Floats of 16 bits: 8 bits of fraction with the range of float32, or 11 bits up to 65,504. */
export type HalfDType = "bfloat16" | "float16";

/** Every dtype that a trunk may compute in, by name. */
export const FLOAT_DTYPES = ["float32", "bfloat16", "float16"] as const satisfies readonly FloatDType[];

/** Whether a value is the name of such a dtype. */
export function isFloatDType(value: unknown): value is FloatDType {
  return (FLOAT_DTYPES as readonly unknown[]).includes(value);
}

/** Whether it is a float of 16 bits. */
export function isHalf(dtype: DType): dtype is HalfDType {
  return dtype === "bfloat16" || dtype === "float16";
}

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Values of a small constant, in a typed array of its dtype. */
export type ConstantData = Float32Array | BigInt64Array | Int32Array;
