/** Operations that view or reorder elements and compute nothing. */

import { GraphError } from "../../errors.ts";
import { type Shape, sameShape, shapeSize, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { ONNX_DTYPE } from "../onnx.ts";
import type { Operation, Tensor } from "../tensor.ts";
import { type DType, isHalf } from "../tensor-type.ts";

/** ONNX's number for int64, the dtype of shapes. */
const INT64 = 7n;

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
    movesOnly: true,
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
    movesOnly: true,
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

/**
 * x, but not before each of `earlier` is computed. ONNX Runtime may run a node at any time after its operands are
 * computed. So a node that depends only on inputs may run at the start of a run, and a node that nothing waits for may
 * run at its end, and memory is held in between. This operation fixes the order and computes nothing: x is viewed in
 * its own shape, of which 0 times the first element of each of `earlier` is a part. (A size of theirs would do, if it
 * were not known before the run.) Not differentiable.
 */
export function after(x: Tensor, ...earlier: readonly Tensor[]): Tensor {
  const operation: Operation = {
    name: "after",
    movesOnly: true,
    lower: (emit, [input, ...awaited]) => {
      if (emit.target.lacks.has("int64")) {
        const named = awaited.map((name, i) => ({ name, dtype: earlier[i]!.dtype }));
        return [afterOnDevice(emit, input!, x, named)];
      }
      const [flat, first] = [BigInt64Array.of(-1n), BigInt64Array.of(0n)].map((value) => emit.constant(value, [1]));
      const elements = awaited.map((name) => {
        const [element] = emit.node("Gather", [emit.node("Reshape", [name, flat!])[0]!, first!]);
        return emit.node("Cast", [element!], { attributes: { to: INT64 } })[0]!;
      });
      const all = emit.node("Concat", elements, { attributes: { axis: 0n } })[0]!;
      const nothing = emit.node("Mul", [emit.node("ReduceMax", [all])[0]!, first!])[0]!; // [1]
      const shape = emit.node("Add", [emit.shape(x.shape), nothing])[0]!;
      return emit.node("Reshape", [input!, shape], { attributes: { allowzero: 1n } });
    },
    gradient: () => [undefined],
  };
  return x.graph.apply(operation, [x, ...earlier], [{ dtype: x.dtype, shape: x.shape }])[0]!;
}

/**
 * `after` where sizes are the host's business: to read an element for one, a device would have to stop. To floats nothing is
 * added, which is made of the first elements. Indices and packed weights are inputs: of these nothing is held, so they wait
 * for nothing.
 */
function afterOnDevice(emit: Emitter, input: string, x: Tensor, awaited: readonly Awaited[]): string {
  const isHeld = x.node.inputs.length === 0;
  if (!(x.dtype === "float32" || (isHalf(x.dtype) && !isHeld))) return input;
  const [flat, first] = [-1n, 0n].map((value) => emit.constant(BigInt64Array.of(value), [1]));
  const zero = emit.constant(Float32Array.of(0), []);
  const cast = (name: string, dtype: DType) =>
    emit.node("Cast", [name], { attributes: { to: BigInt(ONNX_DTYPE[dtype]) } })[0]!;
  // Numbers that are float32 where they are not called so: those of emulated dtypes.
  const isReal = (dtype: DType) => isHalf(dtype) && !emit.target.emulates.has(dtype);
  return awaited.reduce((result, { name, dtype }) => {
    const [element] = emit.node("Gather", [emit.node("Reshape", [name, flat!])[0]!, first!]);
    // In float32, because not every device limits numbers of 16 bits.
    const wide = isReal(dtype) ? cast(element!, "float32") : element!;
    const nothing = emit.node("Clip", [wide, zero, zero])[0]!;
    return emit.node("Add", [result, isReal(x.dtype) ? cast(nothing, x.dtype) : nothing])[0]!;
  }, input);
}

/** A tensor that is waited for, as it was lowered. */
interface Awaited {
  readonly name: string;
  readonly dtype: DType;
}
