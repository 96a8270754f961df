/**
 * What a graph is lowered for. Devices differ in the operations that they have kernels for, or correct ones; where an
 * operation is missing, lowering writes others with the same result.
 */

/**
 * What lowering can do without: `FusedMatMul` (batches of products of transposed matrices), `Sum`, and the second output of
 * `SimplifiedLayerNormalization`, the inverse deviation.
 */
export type DispensableOperation = "FusedMatMul" | "Sum" | "SimplifiedLayerNormalization.inverse";

export interface LoweringTarget {
  readonly lacks: ReadonlySet<DispensableOperation>;
}

/** ONNX Runtime's kernels for the CPU: all of them. */
export const ONNX_RUNTIME_CPU: LoweringTarget = { lacks: new Set() };
