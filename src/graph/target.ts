/**
 * What a graph is lowered for. Devices differ in the operations that they have kernels for, or correct ones; where an
 * operation is missing, lowering writes others with the same result.
 */

import type { HalfDType } from "./tensor-type.ts";

/**
 * What lowering can do without:
 *
 * - `FusedMatMul`: batches of products of transposed matrices;
 * - `Sum`;
 * - `SimplifiedLayerNormalization.inverse`: its second output, the inverse deviation;
 * - `ScatterElements.add`: additions to elements that several indices name, in the same order every time;
 * - `int64`: arithmetic on all 64 bits. What is left of int64 are indices and sizes, below 2³¹;
 * - `GroupQueryAttention.scores`: its scores as an output. Without them no prompt is shared in sampling;
 * - `bfloat16`: a model's inputs of this dtype are float32 then, and the device holds such tensors so.
 */
export type DispensableOperation =
  | "FusedMatMul"
  | "Sum"
  | "SimplifiedLayerNormalization.inverse"
  | "ScatterElements.add"
  | "int64"
  | "GroupQueryAttention.scores"
  | "bfloat16";

export interface LoweringTarget {
  readonly lacks: ReadonlySet<DispensableOperation>;
  /** Dtypes of 16 bits that its kernels compute in. */
  readonly computes: ReadonlySet<HalfDType>;
  /**
   * Those that are emulated: what programs read and write in them is held in 16 bits, or in float32 (`heldDType`); in
   * between each result is a float32 number that was rounded to 16 bits. So are those of kernels for 16 bits, which add up in
   * float32 and round once.
   */
  readonly emulates: ReadonlySet<HalfDType>;
  /** Most new positions of a sequence that `GroupQueryAttention` is right for; absent: any number. */
  readonly mostNewPositions?: number;
  /** `GroupQueryAttention` takes numbers of 16 bits alone: in float32 nothing can be sampled. */
  readonly attendsInHalfAlone?: boolean;
}

/** ONNX Runtime's kernels for the CPU: all of them, but in float32 alone. */
export const ONNX_RUNTIME_CPU: LoweringTarget = {
  lacks: new Set(),
  computes: new Set(),
  emulates: new Set(["bfloat16", "float16"]),
};

/**
 * Its kernels for WebGPU (1.30). `FusedMatMul` and `Sum` there are none of. The norm's second output is the mean. Additions
 * of `ScatterElements` are atomic, in no order. Arithmetic on int64 is that of the low 32 bits. There is no bfloat16.
 * `GroupQueryAttention` over 32 new positions or more is wrong without a word (log-probabilities differed by up to 0.2).
 */
export const ONNX_RUNTIME_WEBGPU: LoweringTarget = {
  lacks: new Set([
    "FusedMatMul",
    "Sum",
    "SimplifiedLayerNormalization.inverse",
    "ScatterElements.add",
    "int64",
    "GroupQueryAttention.scores",
    "bfloat16",
  ]),
  computes: new Set(["float16"]),
  emulates: new Set(),
  mostNewPositions: 31,
};

/** Its kernels for CUDA (1.30). `BitShift` and `BitwiseXor` there are none of; additions are atomic there, too. */
export const ONNX_RUNTIME_CUDA: LoweringTarget = {
  lacks: new Set(["ScatterElements.add", "int64", "GroupQueryAttention.scores"]),
  computes: new Set(["bfloat16", "float16"]),
  emulates: new Set(),
  attendsInHalfAlone: true,
};
