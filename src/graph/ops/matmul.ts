/** Matrix products: one operation, closed under differentiation. */

import { GraphError } from "../../errors.ts";
import { type Dim, sameShape, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { floatDTypeOf, type Operation, type Tensor } from "../tensor.ts";
import { sum } from "./broadcast.ts";

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** α: the product is multiplied by it. */
  readonly scale?: number;
  /** [columns], added to each row of a product of two matrices; or a matrix of the product's shape, added to it. */
  readonly bias?: Tensor;
}

/**
 * α · op(a) · op(b) + bias over the last two axes, op being the transpose where asked for; leading axes are equal and batch.
 * Two matrices become ONNX `Gemm`, batches `MatMul` or ONNX Runtime's `FusedMatMul`, so no transpose is ever made.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1, bias } = options;
  const operands = bias ? [a, b, bias] : [a, b];
  const dtype = floatDTypeOf("matmul", ...operands);
  const batch = a.shape.slice(0, -2);
  const [rows, innerA] = lastTwo(a, transposeA);
  const [innerB, columns] = lastTwo(b, transposeB);
  if (innerA !== innerB || !sameShape(batch, b.shape.slice(0, -2))) {
    const mark = (flag: boolean) => (flag ? "ᵀ" : "");
    const found = `${showShape(a.shape)}${mark(transposeA)} and ${showShape(b.shape)}${mark(transposeB)}`;
    throw new GraphError(`matmul: ${found} do not fit`);
  }
  if (bias && (batch.length > 0 || !(sameShape(bias.shape, [columns]) || sameShape(bias.shape, [rows, columns])))) {
    const expected = `matmul: a bias goes with two matrices and has the shape of a row, ${showShape([columns])}, or of all`;
    throw new GraphError(`${expected}, not ${showShape(bias.shape)}`);
  }
  const operation: Operation = {
    name: "matmul",
    lower: (emit, inputs) => {
      const flags = { transA: transposeA ? 1n : 0n, transB: transposeB ? 1n : 0n };
      if (batch.length === 0) return emit.node("Gemm", inputs, { attributes: { ...flags, alpha: scale } });
      if (!transposeA && !transposeB && scale === 1) return emit.node("MatMul", inputs);
      if (emit.target.lacks.has("FusedMatMul")) return [scaledProduct(emit, inputs, a.shape.length, options)];
      return emit.node("FusedMatMul", inputs, { microsoft: true, attributes: { ...flags, alpha: scale } });
    },
    gradient: (_, [g], wants) => {
      const toA = () =>
        transposeA
          ? matmul(b, g!, { transposeA: transposeB, transposeB: true, scale })
          : matmul(g!, b, { transposeB: !transposeB, scale });
      const toB = () =>
        transposeB
          ? matmul(g!, a, { transposeA: true, transposeB: transposeA, scale })
          : matmul(a, g!, { transposeA: !transposeA, scale });
      return [
        wants[0] ? toA() : undefined,
        wants[1] ? toB() : undefined,
        ...(bias ? [wants[2] ? (bias.shape.length === 2 ? g! : sum(g!, [0])) : undefined] : []),
      ];
    },
  };
  return a.graph.apply(operation, operands, [{ dtype, shape: [...batch, rows, columns] }])[0]!;
}

/** `FusedMatMul` of operands of this rank in several operations. */
function scaledProduct(
  emit: Emitter,
  [a, b]: readonly string[],
  rank: number,
  { transposeA, transposeB, scale = 1 }: MatmulOptions,
): string {
  const perm = [...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1, rank - 2];
  const turned = (x: string, isTurned = false) =>
    isTurned ? emit.node("Transpose", [x], { attributes: { perm } })[0]! : x;
  const [product] = emit.node("MatMul", [turned(a!, transposeA), turned(b!, transposeB)]);
  if (scale === 1) return product!;
  return emit.node("Mul", [product!, emit.constant(Float32Array.of(scale), [])])[0]!;
}

function lastTwo({ shape }: Tensor, transposed: boolean): [Dim, Dim] {
  if (shape.length < 2) throw new GraphError(`matmul takes matrices or batches of them, not ${showShape(shape)}`);
  const [rows, columns] = [shape[shape.length - 2]!, shape[shape.length - 1]!];
  return transposed ? [columns, rows] : [rows, columns];
}
