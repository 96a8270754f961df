/**
 * Products with a matrix that is held in bfloat16, half of f32's memory and the format in which most checkpoints are
 * stored. Every number of bfloat16 is one of f32, so the matrix is widened, exactly, and the product is f32's.
 *
 * A large matrix (a vocabulary's) is widened piece by piece: the f32 numbers that are in memory at once are those of one
 * piece, in the product as in its gradient.
 */

import { GraphError } from "../../errors.ts";
import { showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { after } from "./shape.ts";

const FLOAT32 = 1n;
/** Elements of a piece: 16 MiB of f32. */
const PIECE_ELEMENTS = 2 ** 22;

/** The same numbers in float32. Not differentiable: what is held in bfloat16 is not trained. */
export function widen(x: Tensor): Tensor {
  if (x.dtype !== "bfloat16") throw new GraphError(`widen takes bfloat16, not ${x.dtype} ${showShape(x.shape)}`);
  const operation: Operation = {
    name: "widen",
    readsHeld: true,
    lower: (emit, [input]) => [widened(emit, input!)],
    gradient: () => [undefined],
  };
  return x.graph.apply(operation, [x], [{ dtype: "float32", shape: x.shape }])[0]!;
}

/**
 * x · Wᵀ, x [N, columns], W bfloat16 [rows, columns] → [N, rows]. Its gradient with respect to x is g · W; W gets none.
 * `pieceRows`: rows of W that are widened at once.
 */
export function bfloat16Matmul(x: Tensor, matrix: Tensor, pieceRows = rowsOfPiece(matrix)): Tensor {
  requireFloat("bfloat16Matmul", x);
  const [rows, columns] = matrix.shape;
  if (matrix.dtype !== "bfloat16" || matrix.shape.length !== 2 || x.shape.length !== 2 || x.shape[1] !== columns) {
    const found = `${showShape(x.shape)} and ${matrix.dtype} ${showShape(matrix.shape)}`;
    throw new GraphError(`bfloat16Matmul: ${found} do not fit`);
  }
  const pieces = piecesOf(rows as number, pieceRows);
  const operation: Operation = {
    name: "bfloat16Matmul",
    readsHeld: true,
    lower: (emit, [input, weights]) => {
      const products = pieces.map((piece) => {
        return emit.node("Gemm", [input!, widenedRows(emit, weights!, piece, pieces.length)], {
          attributes: { transB: 1n },
        })[0]!;
      });
      return products.length === 1 ? products : emit.node("Concat", products, { attributes: { axis: 1n } });
    },
    gradient: (_, [g]) => [timesMatrix(g!, matrix, pieces), undefined],
  };
  // Ordered after the tensor that needs it: otherwise ONNX Runtime would widen every matrix of the model as soon as a
  // run starts.
  return x.graph.apply(operation, [x, after(matrix, x)], [{ dtype: "float32", shape: [x.shape[0]!, rows!] }])[0]!;
}

/** g · W, g [N, rows] → [N, columns]: the sum of the pieces' products. */
function timesMatrix(g: Tensor, matrix: Tensor, pieces: readonly Piece[]): Tensor {
  const operation: Operation = {
    name: "bfloat16TimesMatrix",
    readsHeld: true,
    lower: (emit, [gradient, weights]) => {
      // These nodes come before the products. ONNX Runtime takes the newest operand first, so it computes the operands
      // of a product only when the product before it is done. (`Split` would make all columns at the same time, which
      // is the whole gradient a second time.)
      const operands = pieces.map((piece) => {
        return [partOf(emit, gradient!, 1, piece, pieces.length), widenedRows(emit, weights!, piece, pieces.length)];
      });
      let total: string | undefined;
      for (const pair of operands) {
        total = emit.node("Gemm", [...pair, ...(total === undefined ? [] : [total])])[0]!;
      }
      return [total!];
    },
  };
  const shape = [g.shape[0]!, matrix.shape[1]!];
  return g.graph.apply(operation, [g, after(matrix, g)], [{ dtype: "float32", shape }])[0]!;
}

/** Rows from `start` up to `end`. */
interface Piece {
  readonly start: number;
  readonly end: number;
}

function piecesOf(rows: number, pieceRows: number): Piece[] {
  return Array.from({ length: Math.ceil(rows / pieceRows) }, (_, i) => {
    return { start: i * pieceRows, end: Math.min(rows, (i + 1) * pieceRows) };
  });
}

function rowsOfPiece({ shape }: Tensor): number {
  return Math.max(1, Math.floor(PIECE_ELEMENTS / Number(shape[1])));
}

function widenedRows(emit: Emitter, weights: string, piece: Piece, count: number): string {
  return widened(emit, partOf(emit, weights, 0, piece, count));
}

/** Numbers of bfloat16 as float32, which they are already where the device has no bfloat16. */
function widened(emit: Emitter, x: string): string {
  if (emit.target.lacks.has("bfloat16")) return x;
  return emit.node("Cast", [x], { attributes: { to: FLOAT32 } })[0]!;
}

/** One of `count` pieces of a tensor along an axis; all of it where there is but one. */
function partOf(emit: Emitter, tensor: string, axis: number, { start, end }: Piece, count: number): string {
  if (count === 1) return tensor;
  const bounds = [start, end, axis].map((value) => emit.constant(BigInt64Array.of(BigInt(value)), [1]));
  return emit.node("Slice", [tensor, ...bounds])[0]!;
}
