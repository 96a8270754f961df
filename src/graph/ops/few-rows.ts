/**
 * Products of few rows with a large matrix, as decoding makes them: a step has a row for each sequence.
 *
 * A kernel of matrix products packs its right operand, which pays off where the left one has many rows. Of few rows the
 * packing of the weights is most of the work, so here they are the left operand: x·Wᵀ = (W·xᵀ)ᵀ, and the rows are packed.
 * ONNX Runtime's optimizer would undo that where the product were a `Gemm` (`Gemm` with a `Transpose` behind it becomes
 * one `Gemm` of swapped operands); a `MatMul` it leaves as it is (`test/graph/few-rows.test.ts` looks).
 */

import { GraphError } from "../../errors.ts";
import { type Shape, showShape } from "../dim.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { add } from "./elementwise.ts";
import { transpose } from "./shape.ts";

/** Narrower matrices gain nothing: 256 columns, 0.84 to 1.12 times as fast. */
const LEAST_COLUMNS = 512;
/** From so many rows of the matrix on the transposed result is a large matrix itself. */
const WIDE = 4096;

/**
 * The most rows of x [n, K] for which this is faster than `matmul` with W [N, K]; 0 where it never is. Measured with ONNX
 * Runtime 1.30 on a CPU with AVX-512 (docs/log.md). With a single row it is slower.
 */
export function fewRowsLimit(matrix: Shape): number {
  const [rows, columns] = matrix;
  if (typeof rows !== "number" || typeof columns !== "number" || columns < LEAST_COLUMNS) return 0;
  return rows >= WIDE ? 32 : 64;
}

/** x · Wᵀ + bias for x [n, K], W [N, K], bias [N]: [n, N]. Not differentiable. */
export function fewRowsMatmul(x: Tensor, matrix: Tensor, bias?: Tensor): Tensor {
  requireFloat("fewRowsMatmul", x, matrix);
  const [n, columns] = x.shape;
  const [rows, own] = matrix.shape;
  if (x.shape.length !== 2 || matrix.shape.length !== 2 || columns !== own) {
    throw new GraphError(`fewRowsMatmul: ${showShape(x.shape)} and ${showShape(matrix.shape)}ᵀ do not fit`);
  }
  const operation: Operation = {
    name: "fewRowsMatmul",
    lower: (emit, inputs) => emit.node("MatMul", inputs),
  };
  const operands = [matrix, transpose(x, [1, 0])];
  const [product] = x.graph.apply(operation, operands, [{ dtype: "float32", shape: [rows!, n!] }]);
  const turned = transpose(product!, [1, 0]);
  return bias ? add(turned, bias) : turned;
}
