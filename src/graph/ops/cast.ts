/** Between float dtypes: rounding to 16 bits, and widening, which is exact. */

import { ONNX_DTYPE } from "../onnx.ts";
import { floatDTypeOf, type Operation, type Tensor } from "../tensor.ts";
import { type FloatDType, isHalf } from "../tensor-type.ts";

/** x in another float dtype, rounded to the nearest, ties to even; its gradient is cast back. */
export function cast(x: Tensor, dtype: FloatDType): Tensor {
  if (floatDTypeOf("cast", x) === dtype) return x;
  const own = x.dtype as FloatDType;
  const operation: Operation = {
    name: "cast",
    lower: (emit, inputs) => {
      // Where a half is emulated its tensors are float32 already, and what is made one is rounded by lowering itself.
      if ([own, dtype].some((one) => isHalf(one) && emit.target.emulates.has(one))) return inputs;
      return emit.node("Cast", inputs, { attributes: { to: BigInt(ONNX_DTYPE[dtype]) } });
    },
    gradient: (_, [g]) => [cast(g!, own)],
  };
  return x.graph.apply(operation, [x], [{ dtype, shape: x.shape }])[0]!;
}

/** A scalar in the dtype of x. */
export const scalarLike = (x: Tensor, value: number): Tensor => cast(x.graph.scalar(value), floatDTypeOf("scalar", x));
