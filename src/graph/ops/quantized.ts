/**
 * Products with a matrix that is held in 4 bits: NF4, the 16 levels of "4-bit NormalFloat" (Dettmers et al., QLoRA,
 * arXiv:2305.14314, §3 and appendix E), one scale for each block of consecutive elements, two codes a byte.
 *
 * Both directions compute in float32 with the very same dequantised numbers: ONNX Runtime's `MatMulBnb4` unpacks the
 * matrix into memory that lives for one node and multiplies by it. It has no transposed form on the CPU, so the gradient
 * unpacks with the same kernel: the flat block of memory is read as a matrix of k columns and multiplied by the k × k
 * identity, which is exact, and the product goes over the k pieces. (A look-up by `Gather` and `Mul` gives the same
 * numbers; it was measured at 2 to 3 times the time of this.)
 *
 * What it is not: `MatMulNBits`, whose levels are evenly spaced, and which unpacks several times slower unless its
 * weights are constants of the session, one copy for each program.
 */

import { GraphError } from "../../errors.ts";
import { shapeSize, showShape } from "../dim.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { after, reshape, transpose } from "./shape.ts";

/** Elements of a block, which share a scale; QLoRA's. */
export const NF4_BLOCK_SIZE = 64;

const NF4 = 1n;

/** A matrix [rows, columns] in NF4: element i in row-major order has the code in the high (even i) or low (odd i) half of
 * byte ⌊i/2⌋ and the scale of block ⌊i/64⌋. */
export interface Nf4Matrix {
  readonly codes: Tensor; // uint8 [⌈rows·columns/2⌉]
  readonly scales: Tensor; // [⌈rows·columns/64⌉]
  readonly rows: number;
  readonly columns: number;
}

/** x · Wᵀ, x [N, columns] → [N, rows]. Its gradient with respect to x is g · W; W gets none. */
export function nf4Matmul(x: Tensor, matrix: Nf4Matrix): Tensor {
  requireFloat("nf4Matmul", x, matrix.scales);
  const { codes, scales, rows, columns } = matrix;
  const elements = rows * columns;
  const fits =
    x.shape.length === 2 &&
    x.shape[1] === columns &&
    codes.dtype === "uint8" &&
    shapeSize(codes.shape) === Math.ceil(elements / 2) &&
    shapeSize(scales.shape) === Math.ceil(elements / NF4_BLOCK_SIZE);
  if (!fits) {
    const found = `${showShape(x.shape)}, ${codes.dtype} ${showShape(codes.shape)} and ${showShape(scales.shape)}`;
    throw new GraphError(`nf4Matmul: ${found} do not fit a matrix [${rows}, ${columns}]`);
  }
  const operation: Operation = {
    name: "nf4Matmul",
    lower: (emit, inputs) =>
      emit.node("MatMulBnb4", inputs, { microsoft: true, attributes: attributes(rows, columns) }),
    gradient: (_, [g]) => [timesMatrix(g!, matrix), undefined, undefined],
  };
  return x.graph.apply(operation, [x, codes, scales], [{ dtype: "float32", shape: [x.shape[0]!, rows] }])[0]!;
}

/** g · W, g [N, rows] → [N, columns], over k pieces of W: piece j has the columns j, j + k, j + 2k, … */
function timesMatrix(g: Tensor, { codes, scales, rows, columns }: Nf4Matrix): Tensor {
  const k = [4, 2, 1].find((size) => columns % size === 0)!;
  const pieces = [k, rows, columns / k];
  const unpack: Operation = {
    name: "nf4Unpack",
    lower: (emit, inputs) => {
      const identity = Float32Array.from({ length: k * k }, (_, i) => (i % (k + 1) === 0 ? 1 : 0));
      const operands = [emit.constant(identity, [k, k]), ...inputs];
      const flat = attributes((rows * columns) / k, k);
      const unpacked = emit.node("MatMulBnb4", operands, { microsoft: true, attributes: flat })[0]!;
      return emit.node("Reshape", [unpacked, emit.shape(pieces)]);
    },
  };
  // Ordered after the tensor that needs it: otherwise ONNX Runtime would unpack every matrix of the model as soon as a
  // run starts.
  const operands = [after(codes, g), scales];
  const matrix = g.graph.apply(unpack, operands, [{ dtype: "float32", shape: pieces }])[0]!;
  const n = g.shape[0]!;
  const product: Operation = { name: "nf4TimesMatrix", lower: (emit, inputs) => emit.node("MatMul", inputs) };
  const shape = [k, n, columns / k];
  const byPiece = g.graph.apply(product, [g, matrix], [{ dtype: "float32", shape }])[0]!;
  return reshape(transpose(byPiece, [1, 2, 0]), [n, columns]);
}

function attributes(rows: number, columns: number): Record<string, bigint> {
  return { K: BigInt(columns), N: BigInt(rows), block_size: BigInt(NF4_BLOCK_SIZE), quant_type: NF4 };
}
