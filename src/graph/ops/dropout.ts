/**
 * The mask of dropout (Srivastava et al., JMLR 15, 2014), computed instead of drawn: element i of row n is a function
 * of two 64-bit words of that row and of i. So a mask can be computed again at any time, independent of other
 * computations, and need not be stored.
 *
 * The function is multiply-add-shift hashing (Dietzfelbinger, STACS 1996): h = a·i + b modulo 2⁶⁴, of which the upper
 * bits decide. For random a and b any two elements of a row are independent, and rows have words of their own. ONNX's
 * own `Dropout` draws from a generator with a state, which a resumed run could not restore.
 */

import { GraphError } from "../../errors.ts";
import { sameShape, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import type { Operation, Tensor } from "../tensor.ts";
import { int64Words, LimbArithmetic } from "../words.ts";

/**
 * [N, width]: 0 with this probability, else 1 / (1 − probability). `multiplier` and `offset` are words of 64 bits as int32
 * [N, 2], the lower half first, random in all bits. Not differentiable: a mask has no gradient.
 */
export function dropoutMask(multiplier: Tensor, offset: Tensor, width: number, probability: number): Tensor {
  const shape = [multiplier.shape[0]!, 2];
  const words = [multiplier, offset];
  if (!words.every((word) => word.dtype === "int32" && sameShape(word.shape, shape))) {
    const found = words.map((word) => `${word.dtype} ${showShape(word.shape)}`).join(" and ");
    throw new GraphError(`dropoutMask takes two int32 [N, 2], not ${found}`);
  }
  if (!(probability >= 0 && probability < 1)) {
    throw new GraphError(`dropoutMask takes a probability in [0, 1), not ${probability}`);
  }
  // As signed numbers the words lie in [−2⁶³, 2⁶³): a share of `probability` of them lies below 2³² times this.
  const threshold = Math.floor(probability * 2 ** 32) - 2 ** 31;
  const operation: Operation = {
    name: "dropoutMask",
    lower: (emit, [a, b]) => {
      const kept = emit.target.lacks.has("int64")
        ? upperHalfFrom(emit, a!, b!, width, threshold)
        : hashFrom(emit, a!, b!, width, threshold);
      const mask = emit.node("Cast", [kept], { attributes: { to: 1n } })[0]!;
      return emit.node("Mul", [mask, emit.constant(Float32Array.of(1 / (1 - probability)), [])]);
    },
    gradient: () => [undefined, undefined],
  };
  return multiplier.graph.apply(operation, words, [{ dtype: "float32", shape: [shape[0]!, width] }])[0]!;
}

/** Whether a·i + b is at least 2³² · threshold, in int64. */
function hashFrom(emit: Emitter, a: string, b: string, width: number, threshold: number): string {
  const columns = emit.constant(
    BigInt64Array.from({ length: width }, (_, i) => BigInt(i)),
    [1, width],
  );
  const product = emit.node("Mul", [int64Words(emit, a), columns])[0]!;
  const hash = emit.node("Add", [product, int64Words(emit, b)])[0]!;
  return emit.node("GreaterOrEqual", [hash, emit.constant(BigInt64Array.of(BigInt(threshold) << 32n), [])])[0]!;
}

/** The same by the upper half, which decides, because the lower one of the threshold is 0. */
function upperHalfFrom(emit: Emitter, a: string, b: string, width: number, threshold: number): string {
  const limbs = new LimbArithmetic(emit);
  const hash = limbs.add(limbs.timesColumns(limbs.fromPairs(a), width), limbs.fromPairs(b));
  return emit.node("GreaterOrEqual", [limbs.upperHalf(hash), emit.constant(Int32Array.of(threshold), [])])[0]!;
}
