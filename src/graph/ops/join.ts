/** Concat and split: each is the other's adjoint. */

import { GraphError } from "../../errors.ts";
import { type Dim, dimAdd, showShape } from "../dim.ts";
import type { Operation, Tensor } from "../tensor.ts";
import { expand } from "./broadcast.ts";
import { scalarLike } from "./cast.ts";

/** Joins tensors along an axis; their other dimensions are equal. */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  const first = tensors[0]!;
  if (tensors.length === 1) return first;
  for (const { shape, dtype } of tensors) {
    const fits = shape.length === first.shape.length && shape.every((dim, i) => i === axis || dim === first.shape[i]);
    if (!fits || dtype !== first.dtype) {
      throw new GraphError(
        `concat: ${dtype} ${showShape(shape)} does not join ${showShape(first.shape)} on axis ${axis}`,
      );
    }
  }
  const sizes = tensors.map(({ shape }) => shape[axis]!);
  const operation: Operation = {
    name: "concat",
    movesOnly: true,
    lower: (emit, inputs) => emit.node("Concat", inputs, { attributes: { axis: BigInt(axis) } }),
    gradient: (_, [g]) => split(g!, axis, sizes),
  };
  const shape = first.shape.map((dim, i) => (i === axis ? sizes.reduce(dimAdd) : dim));
  return first.graph.apply(operation, tensors, [{ dtype: first.dtype, shape }])[0]!;
}

/** Cuts x along an axis into pieces of these sizes, which add up to the axis. */
export function split(x: Tensor, axis: number, sizes: readonly Dim[]): Tensor[] {
  if (sizes.reduce(dimAdd, 0) !== x.shape[axis]) {
    throw new GraphError(`split: sizes ${sizes.join(", ")} do not add up to axis ${axis} of ${showShape(x.shape)}`);
  }
  if (sizes.length === 1) return [x];
  const pieces = sizes.map((size) => ({ dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? size : dim)) }));
  const operation: Operation = {
    name: "split",
    movesOnly: true,
    lower: (emit, [input]) =>
      emit.node("Split", [input!, emit.shape(sizes)], { outputs: sizes.length, attributes: { axis: BigInt(axis) } }),
    gradient: ({ outputs }, gradients) => [
      concat(
        gradients.map((g, i) => g ?? expand(scalarLike(x, 0), outputs[i]!.shape)),
        axis,
      ),
    ],
  };
  return x.graph.apply(operation, [x], pieces);
}
