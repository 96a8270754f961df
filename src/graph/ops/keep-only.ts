/**
 * Keeps only some elements of each row: this turns a distribution over a vocabulary into one over a few of its tokens.
 */

import { GraphError } from "../../errors.ts";
import { showShape } from "../dim.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";

/** Added to what is left out: its probability is exactly 0 in f32, and nothing is infinite. */
const LEFT_OUT = -1e9;

/**
 * x [N, V] with −10⁹ added to every element whose column is not among `kept` [N, W] (int32 or int64, columns of the row,
 * in any order; one may stand there several times). Its gradient passes through: behind a softmax it is 0 at what was
 * left out.
 */
export function keepOnly(x: Tensor, kept: Tensor): Tensor {
  requireFloat("keepOnly", x);
  if (x.shape.length !== 2 || kept.shape.length !== 2 || kept.shape[0] !== x.shape[0]) {
    throw new GraphError(
      `keepOnly takes [N, V] and columns [N, W], not ${showShape(x.shape)} and ${showShape(kept.shape)}`,
    );
  }
  const operation: Operation = {
    name: "keepOnly",
    lower: (emit, [values, columns]) => {
      const filled = (value: number, shape: Tensor["shape"]) =>
        emit.node("Expand", [emit.constant(Float32Array.of(value), []), emit.shape(shape)])[0]!;
      const zeros = filled(0, kept.shape);
      const bias = emit.node("ScatterElements", [filled(LEFT_OUT, x.shape), columns!, zeros], {
        attributes: { axis: 1n },
      });
      return emit.node("Add", [values!, ...bias]);
    },
    gradient: (_, [g]) => [g!, undefined],
  };
  return x.graph.apply(operation, [x, kept], [{ dtype: "float32", shape: x.shape }])[0]!;
}
