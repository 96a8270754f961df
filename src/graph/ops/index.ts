/** Operations that pick elements by integer indices. */

import { GraphError } from "../../errors.ts";
import { type Dim, type Shape, sameShape, shapeSize, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { expand } from "./broadcast.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./shape.ts";

/**
 * Rows of `table` [rows, …] by `indices` (int64, any shape [i…]): [i…, …]. Its gradient adds the rows of one index up.
 * Indices out of range make the run fail.
 */
export function gatherRows(table: Tensor, indices: Tensor): Tensor {
  if (indices.dtype !== "int64") throw new GraphError(`gatherRows takes int64 indices, not ${indices.dtype}`);
  const operation: Operation = {
    name: "gatherRows",
    movesOnly: true,
    lower: (emit, inputs) => emit.node("Gather", inputs, { attributes: { axis: 0n } }),
    gradient: (_, [g]) => [scatterRows(g!, indices, table), undefined],
  };
  const shape = [...indices.shape, ...table.shape.slice(1)];
  return table.graph.apply(operation, [table, indices], [{ dtype: table.dtype, shape }])[0]!;
}

/**
 * Zeros in the shape of `like` with row j of `rows` [i…, …] added to row indices[j]. Not differentiable.
 * By `ScatterElements`, which adds in order: ONNX Runtime's `ScatterND` adds from several threads, in no order and
 * without a lock, so that equal runs differ.
 */
function scatterRows(rows: Tensor, indices: Tensor, like: Tensor): Tensor {
  const count = shapeSize(indices.shape);
  const width = shapeSize(like.shape.slice(1));
  const table: Shape = [like.shape[0]!, width];
  const operation: Operation = {
    name: "scatterRows",
    lower: (emit, [target, index, updates]) => {
      if (emit.target.lacks.has("ScatterElements.add")) return [scatterSums(emit, target!, index!, updates!)];
      const every = emit.node("Expand", [index!, emit.shape([count, width])])[0]!;
      return emit.node("ScatterElements", [target!, every, updates!], { attributes: { axis: 0n, reduction: "add" } });
    },
  };
  const operands = [expand(rows.graph.scalar(0), table), reshape(indices, [count, 1]), reshape(rows, [count, width])];
  return reshape(rows.graph.apply(operation, operands, [{ dtype: "float32", shape: table }])[0]!, like.shape);
}

const INT32 = 6n;
const FLOAT32 = 1n;

/**
 * `scatterRows` where additions come in no order: each row becomes the sum of all rows of its index, by a matrix product
 * with ones where two indices are equal, [N, N], and is put where it belongs. Rows of one index are then the same numbers,
 * so that it does not matter which of them is put there last.
 */
function scatterSums(emit: Emitter, target: string, index: string, rows: string): string {
  const column = emit.node("Cast", [index], { attributes: { to: INT32 } })[0]!; // [N, 1]
  const row = emit.node("Transpose", [column], { attributes: { perm: [1, 0] } })[0]!;
  const isSame = emit.node("Equal", [column, row])[0]!;
  const ones = emit.node("Cast", [isSame], { attributes: { to: FLOAT32 } })[0]!;
  const sums = emit.node("MatMul", [ones, rows])[0]!;
  return emit.node("ScatterND", [target, index, sums])[0]!;
}

/**
 * Rows of `table` [R, …] by `indices` (int64 [S]): [S, …], as `gatherRows`, for few rows that many indices share. Its
 * gradient is a matrix product with `membership` [S, R] (1 where indices[s] = r, else 0), which runs on every thread where
 * adding rows one by one does not.
 */
export function repeatRows(table: Tensor, indices: Tensor, membership: Tensor): Tensor {
  requireFloat("repeatRows", table, membership);
  const [count, rows] = [indices.shape[0]!, table.shape[0]!];
  if (indices.shape.length !== 1 || !sameShape(membership.shape, [count, rows])) {
    const found = `${showShape(membership.shape)} for ${showShape(indices.shape)} of ${showShape(table.shape)}`;
    throw new GraphError(`repeatRows takes indices [S] and a membership [S, R], not ${found}`);
  }
  const operation: Operation = {
    name: "repeatRows",
    lower: (emit, inputs) => emit.node("Gather", inputs.slice(0, 2), { attributes: { axis: 0n } }),
    gradient: (_, [g]) => {
      const flat = reshape(g!, [count, shapeSize(table.shape.slice(1))]);
      return [reshape(matmul(membership, flat, { transposeA: true }), table.shape), undefined, undefined];
    },
  };
  const shape = [count, ...table.shape.slice(1)];
  return table.graph.apply(operation, [table, indices, membership], [{ dtype: "float32", shape }])[0]!;
}

/**
 * From each row of x [N, V] the element at indices [N] (int64): [N]. Its gradient is the upstream one at that element,
 * zero elsewhere.
 */
export function pickLast(x: Tensor, indices: Tensor): Tensor {
  requireFloat("pickLast", x);
  if (
    x.shape.length !== 2 ||
    indices.shape.length !== 1 ||
    indices.shape[0] !== x.shape[0] ||
    indices.dtype !== "int64"
  ) {
    const found = `${showShape(x.shape)} and ${indices.dtype} ${showShape(indices.shape)}`;
    throw new GraphError(`pickLast takes [N, V] and int64 [N], not ${found}`);
  }
  const axis = { attributes: { axis: 1n } };
  const unsqueezeAxis = BigInt64Array.of(1n);
  const operation: Operation = {
    name: "pickLast",
    lower: (emit, [input, index]) => {
      const column = emit.node("Unsqueeze", [index!, emit.constant(unsqueezeAxis, [1])])[0]!;
      const picked = emit.node("GatherElements", [input!, column], axis);
      return emit.node("Squeeze", [picked[0]!, emit.constant(unsqueezeAxis, [1])]);
    },
    gradient: (_, [g]) => {
      const zeros = expand(x.graph.scalar(0), x.shape);
      const put: Operation = {
        name: "putLast",
        lower: (emit, [target, index, updates]) => {
          const axes = emit.constant(unsqueezeAxis, [1]);
          const columns = [index!, updates!].map((name) => emit.node("Unsqueeze", [name, axes])[0]!);
          return emit.node("ScatterElements", [target!, ...columns], axis);
        },
      };
      return [x.graph.apply(put, [zeros, indices, g!], [{ dtype: "float32", shape: x.shape }])[0]!, undefined];
    },
  };
  return x.graph.apply(operation, [x, indices], [{ dtype: "float32", shape: x.shape.slice(0, 1) }])[0]!;
}

/**
 * The `count` largest values of each row of x [N, V], from the largest down, equals by index: values [N, count], and their
 * indices (int64) [N, count]. Not differentiable.
 */
export function topK(x: Tensor, count: Dim): { readonly values: Tensor; readonly indices: Tensor } {
  requireFloat("topK", x);
  if (x.shape.length !== 2) throw new GraphError(`topK takes [N, V], not ${showShape(x.shape)}`);
  const operation: Operation = {
    name: "topK",
    lower: (emit, [input]) =>
      emit.node("TopK", [input!, emit.shape([count])], {
        outputs: 2,
        attributes: { axis: 1n, largest: 1n, sorted: 1n },
      }),
  };
  const shape = [x.shape[0]!, count];
  const [values, indices] = x.graph.apply(
    operation,
    [x],
    [
      { dtype: "float32", shape },
      { dtype: "int64", shape },
    ],
  );
  return { values: values!, indices: indices! };
}
