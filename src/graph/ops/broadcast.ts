/** Sum and expand: each is the other's adjoint. */

import { GraphError } from "../../errors.ts";
import { broadcastShapes, type Shape, sameShape, showShape } from "../dim.ts";
import { floatDTypeOf, type Operation, type Tensor } from "../tensor.ts";
import { reshape } from "./shape.ts";

/**
 * Sum over `axes` (all by default), which keep size 1 with `keepDims` and go otherwise. An axis may be negative.
 */
export function sum(x: Tensor, axes: readonly number[] = x.shape.map((_, i) => i), keepDims = false): Tensor {
  const dtype = floatDTypeOf("sum", x);
  const rank = x.shape.length;
  const reduced = axes.map((axis) => (axis < 0 ? axis + rank : axis));
  if (reduced.some((axis) => axis < 0 || axis >= rank)) {
    throw new GraphError(`sum: axes ${axes.join(", ")} are not all of ${showShape(x.shape)}`);
  }
  if (reduced.length === 0) return x;
  const kept = x.shape.map((dim, axis) => (reduced.includes(axis) ? 1 : dim));
  const shape = keepDims ? kept : x.shape.filter((_, axis) => !reduced.includes(axis));
  const operation: Operation = {
    name: "sum",
    lower: (emit, [input]) =>
      emit.node("ReduceSum", [input!, emit.constant(BigInt64Array.from(reduced, BigInt), [reduced.length])], {
        attributes: { keepdims: keepDims ? 1n : 0n },
      }),
    gradient: (_, [g]) => [expand(reshape(g!, kept), x.shape)],
  };
  return x.graph.apply(operation, [x], [{ dtype, shape }])[0]!;
}

/** Broadcasts x to `shape`. */
export function expand(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShapes(x.shape, shape), shape)) {
    throw new GraphError(`expand: ${showShape(x.shape)} does not broadcast to ${showShape(shape)}`);
  }
  const lead = shape.length - x.shape.length;
  const operation: Operation = {
    name: "expand",
    movesOnly: true,
    lower: (emit, [input]) => emit.node("Expand", [input!, emit.shape(shape)]),
    gradient: (_, [g]) => {
      const axes = shape.flatMap((dim, axis) => (axis < lead || x.shape[axis - lead] !== dim ? [axis] : []));
      return [reshape(sum(g!, axes), x.shape)];
    },
  };
  return x.graph.apply(operation, [x], [{ dtype: x.dtype, shape }])[0]!;
}
