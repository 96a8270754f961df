/** Operations that pick elements by integer indices. */

import { GraphError } from "../../errors.ts";
import { type Shape, shapeSize, showShape } from "../dim.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { expand } from "./broadcast.ts";
import { reshape } from "./shape.ts";

/**
 * Rows of `table` [R, …] by `indices` (int64, any shape [I…]): [I…, …]. Its gradient adds the rows of one index up.
 * Indices out of range make the run fail.
 */
export function gatherRows(table: Tensor, indices: Tensor): Tensor {
  if (indices.dtype !== "int64") throw new GraphError(`gatherRows takes int64 indices, not ${indices.dtype}`);
  const operation: Operation = {
    name: "gatherRows",
    lower: (emit, inputs) => emit.node("Gather", inputs, { attributes: { axis: 0n } }),
    gradient: (_, [g]) => [scatterRows(g!, indices, table), undefined],
  };
  const shape = [...indices.shape, ...table.shape.slice(1)];
  return table.graph.apply(operation, [table, indices], [{ dtype: table.dtype, shape }])[0]!;
}

/**
 * Zeros in the shape of `like` [R, …] with row j of `rows` [I…, …] added to row indices[j]. Not differentiable.
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
      const every = emit.node("Expand", [index!, emit.shape([count, width])])[0]!;
      return emit.node("ScatterElements", [target!, every, updates!], { attributes: { axis: 0n, reduction: "add" } });
    },
  };
  const operands = [expand(rows.graph.scalar(0), table), reshape(indices, [count, 1]), reshape(rows, [count, width])];
  return reshape(rows.graph.apply(operation, operands, [{ dtype: "float32", shape: table }])[0]!, like.shape);
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
