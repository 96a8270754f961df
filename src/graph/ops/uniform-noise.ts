/**
 * Uniform noise, computed instead of drawn, like the mask of `dropout.ts`: element i of row n is a function of two
 * 64-bit words of that row and of i. So noise can be computed again at any time, independent of other computations, and
 * the graph needs only two words per row as input.
 *
 * The mask's hash alone, a·i + b modulo 2⁶⁴, would not do. Its elements are pairwise independent, but all of a row lie on
 * one line around the circle: at a width of 896 the energy of a row varied 13 times as much as that of independent
 * numbers, and sums over a row had a kurtosis of hundreds instead of 3. So the upper half is folded onto the lower and the
 * result multiplied once more (the xorshift and multiply of Steele, Lea and Flood's SplitMix, OOPSLA 2014); both
 * measures are then those of independent numbers.
 */

import { GraphError } from "../../errors.ts";
import { sameShape, showShape } from "../dim.ts";
import { ONNX_DTYPE } from "../onnx.ts";
import type { Operation, Tensor } from "../tensor.ts";

/** 2⁶⁴ divided by the golden ratio, as a signed number; odd. */
const GOLDEN = BigInt.asIntN(64, 0x9e3779b97f4a7c15n);

/** TensorProto.DataType of uint64, in which alone bits are shifted; no tensor of ours has it. */
const UINT64 = 13n;

/**
 * [N, width]: row n uniform on ±magnitude[n], float32 rounding aside. `multiplier` and `offset` are int64 [N, 1], random in
 * all bits, `magnitude` float32 [N, 1]. Not differentiable: noise has no gradient.
 */
export function uniformNoise(multiplier: Tensor, offset: Tensor, magnitude: Tensor, width: number): Tensor {
  const shape = [multiplier.shape[0]!, 1];
  const operands = [multiplier, offset, magnitude];
  const dtypes = ["int64", "int64", "float32"];
  if (!operands.every(({ dtype, shape: own }, i) => dtype === dtypes[i] && sameShape(own, shape))) {
    const found = operands.map((operand) => `${operand.dtype} ${showShape(operand.shape)}`).join(", ");
    throw new GraphError(`uniformNoise takes int64, int64 and float32 [N, 1], not ${found}`);
  }
  const operation: Operation = {
    name: "uniformNoise",
    lower: (emit, [a, b, magnitudes]) => {
      const cast = (x: string, to: bigint) => emit.node("Cast", [x], { attributes: { to } })[0]!;
      const integer = (value: bigint) => emit.constant(BigInt64Array.of(value), []);
      const columns = emit.constant(
        BigInt64Array.from({ length: width }, (_, i) => BigInt(i)),
        [1, width],
      );
      const line = emit.node("Add", [emit.node("Mul", [a!, columns])[0]!, b!])[0]!;
      const half = [cast(line, UINT64), cast(integer(32n), UINT64)];
      const upper = emit.node("BitShift", half, { attributes: { direction: "RIGHT" } })[0]!;
      const folded = emit.node("BitwiseXor", [line, cast(upper, BigInt(ONNX_DTYPE.int64))])[0]!;
      const hash = emit.node("Mul", [folded, integer(GOLDEN)])[0]!;
      // In [−2⁶³, 2⁶³), of which a float32 keeps the upper 24 bits.
      const scale = emit.node("Mul", [magnitudes!, emit.constant(Float32Array.of(2 ** -63), [])])[0]!;
      return emit.node("Mul", [cast(hash, BigInt(ONNX_DTYPE.float32)), scale]);
    },
    gradient: () => [undefined, undefined, undefined],
  };
  const result = { dtype: "float32", shape: [shape[0]!, width] } as const;
  return multiplier.graph.apply(operation, operands, [result])[0]!;
}
