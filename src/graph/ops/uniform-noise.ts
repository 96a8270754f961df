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
import type { Emitter } from "../emitter.ts";
import { ONNX_DTYPE } from "../onnx.ts";
import type { Operation, Tensor } from "../tensor.ts";
import { int64Words, LimbArithmetic } from "../words.ts";

/** 2⁶⁴ divided by the golden ratio, as a signed number; odd. */
const GOLDEN = BigInt.asIntN(64, 0x9e3779b97f4a7c15n);

/** TensorProto.DataType of uint64, in which alone bits are shifted; no tensor of ours has it. */
const UINT64 = 13n;

/**
 * [N, width]: row n uniform on ±magnitude[n], float32 rounding aside. `multiplier` and `offset` are words of
 * 64 bits as int32 [N, 2], the lower half first, random in all bits, `magnitude` float32 [N, 1]. Not differentiable: noise has no gradient.
 */
export function uniformNoise(multiplier: Tensor, offset: Tensor, magnitude: Tensor, width: number): Tensor {
  const rows = multiplier.shape[0]!;
  const operands = [multiplier, offset, magnitude];
  const expected = [
    ["int32", [rows, 2]],
    ["int32", [rows, 2]],
    ["float32", [rows, 1]],
  ] as const;
  if (!operands.every(({ dtype, shape }, i) => dtype === expected[i]![0] && sameShape(shape, expected[i]![1]))) {
    const found = operands.map((operand) => `${operand.dtype} ${showShape(operand.shape)}`).join(", ");
    throw new GraphError(`uniformNoise takes two int32 [N, 2] and float32 [N, 1], not ${found}`);
  }
  const operation: Operation = {
    name: "uniformNoise",
    lower: (emit, [a, b, magnitudes]) => {
      const hash = emit.target.lacks.has("int64") ? limbHash(emit, a!, b!, width) : int64Hash(emit, a!, b!, width);
      // In [−2⁶³, 2⁶³), of which a float32 keeps the upper 24 bits.
      const scale = emit.node("Mul", [magnitudes!, emit.constant(Float32Array.of(2 ** -63), [])])[0]!;
      return emit.node("Mul", [hash, scale]);
    },
    gradient: () => [undefined, undefined, undefined],
  };
  const result = { dtype: "float32", shape: [rows, width] } as const;
  return multiplier.graph.apply(operation, operands, [result])[0]!;
}

/** The hash of every element, as float32. */
function int64Hash(emit: Emitter, a: string, b: string, width: number): string {
  const cast = (x: string, to: bigint) => emit.node("Cast", [x], { attributes: { to } })[0]!;
  const integer = (value: bigint) => emit.constant(BigInt64Array.of(value), []);
  const columns = emit.constant(
    BigInt64Array.from({ length: width }, (_, i) => BigInt(i)),
    [1, width],
  );
  const line = emit.node("Add", [emit.node("Mul", [int64Words(emit, a), columns])[0]!, int64Words(emit, b)])[0]!;
  const half = [cast(line, UINT64), cast(integer(32n), UINT64)];
  const upper = emit.node("BitShift", half, { attributes: { direction: "RIGHT" } })[0]!;
  const folded = emit.node("BitwiseXor", [line, cast(upper, BigInt(ONNX_DTYPE.int64))])[0]!;
  const hash = emit.node("Mul", [folded, integer(GOLDEN)])[0]!;
  return cast(hash, BigInt(ONNX_DTYPE.float32));
}

/** The same in limbs; some elements differ in the last place, because they are rounded in two steps. */
function limbHash(emit: Emitter, a: string, b: string, width: number): string {
  const limbs = new LimbArithmetic(emit);
  const line = limbs.add(limbs.timesColumns(limbs.fromPairs(a), width), limbs.fromPairs(b));
  return limbs.toFloat(limbs.times(limbs.foldUpperHalf(line), GOLDEN));
}
