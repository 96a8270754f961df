/** Operations that view or reorder elements and compute nothing. */

import { GraphError } from "../../errors.ts";
import { type Shape, sameShape, shapeSize, showShape } from "../dim.ts";
import type { Operation, Tensor } from "../tensor.ts";

const RESHAPE = "reshape";

/** The same elements in the same order in another shape. Of reshapes of reshapes only the last is made. */
export function reshape(reshaped: Tensor, shape: Shape): Tensor {
  if (shapeSize(reshaped.shape) !== shapeSize(shape)) {
    throw new GraphError(`reshape: ${showShape(reshaped.shape)} has not as many elements as ${showShape(shape)}`);
  }
  const x = reshaped.node.operation.name === RESHAPE ? reshaped.node.inputs[0]! : reshaped;
  if (sameShape(x.shape, shape)) return x;
  const operation: Operation = {
    name: RESHAPE,
    lower: (emit, [input]) => emit.node("Reshape", [input!, emit.shape(shape)], { attributes: { allowzero: 1n } }),
    gradient: (_, [g]) => [reshape(g!, x.shape)],
  };
  return x.graph.apply(operation, [x], [{ dtype: x.dtype, shape }])[0]!;
}

/** Axis i of the result is axis permutation[i] of x. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  const axes = [...permutation].sort((a, b) => a - b);
  if (axes.length !== x.shape.length || axes.some((axis, i) => axis !== i)) {
    throw new GraphError(`transpose: [${permutation}] does not permute the axes of ${showShape(x.shape)}`);
  }
  const operation: Operation = {
    name: "transpose",
    lower: (emit, inputs) => emit.node("Transpose", inputs, { attributes: { perm: permutation } }),
    gradient: (_, [g]) => [
      transpose(
        g!,
        axes.map((axis) => permutation.indexOf(axis)),
      ),
    ],
  };
  const shape = permutation.map((axis) => x.shape[axis]!);
  return x.graph.apply(operation, [x], [{ dtype: x.dtype, shape }])[0]!;
}
