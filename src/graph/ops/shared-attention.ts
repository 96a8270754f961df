/**
 * Attention of one new position in two parts: to the sequence's own cache, and to a prompt that several sequences share.
 * Each part is a softmax of its own, and the logarithm of its sum of exponentials says how much it weighs beside the
 * other: with Z₁ = Σ eˢ over the one part and Z₂ over the other,
 * softmax over both = (Z₁·o₁ + Z₂·o₂) / (Z₁ + Z₂) = o₁ + σ(ln Z₂ − ln Z₁)·(o₂ − o₁).
 */

import { GraphError } from "../../errors.ts";
import { sameShape, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import type { CachedAttentionOperands } from "./attention.ts";
import { add, multiply, subtract } from "./elementwise.ts";
import { sigmoid } from "./swiglu.ts";

/** A score that no position has: where nothing is attended to. */
const NOWHERE = -1e9;

/**
 * `cachedAttention` of one new position for each sequence, q [B, 1, h·D] and k rotated already, with ln Σ eˢ of its scores:
 * `logSums` [B, h, 1]. ONNX Runtime gives the scores on the CPU alone (`LoweringTarget`). Not differentiable.
 */
export function summedCachedAttention(
  operands: Omit<CachedAttentionOperands, "cos" | "sin">,
  { numHeads, numKvHeads, scale }: { numHeads: number; numKvHeads: number; scale: number },
): { readonly output: Tensor; readonly keys: Tensor; readonly values: Tensor; readonly logSums: Tensor } {
  const { q, k, v, pastKeys, pastValues, lastPositions, totalLength } = operands;
  requireFloat("summedCachedAttention", q, k, v, pastKeys, pastValues);
  if (q.shape.length !== 3 || q.shape[1] !== 1) {
    throw new GraphError(`summedCachedAttention: q is [B, 1, h·D], not ${showShape(q.shape)}`);
  }
  const operation: Operation = {
    name: "summedCachedAttention",
    lower: (emit, inputs) => {
      if (emit.target.lacks.has("GroupQueryAttention.scores")) {
        throw new GraphError("summedCachedAttention: this device does not give the scores of GroupQueryAttention");
      }
      const [output, keys, values, scores] = emit.node("GroupQueryAttention", inputs, {
        outputs: 4,
        microsoft: true,
        attributes: { num_heads: BigInt(numHeads), kv_num_heads: BigInt(numKvHeads), scale, qk_output: BEFORE_SOFTMAX },
      });
      return [output!, keys!, values!, logSumOfValid(emit, scores!, inputs[5]!, inputs[6]!)];
    },
  };
  const inputs = [q, k, v, pastKeys, pastValues, lastPositions, totalLength];
  const sums = { dtype: "float32", shape: [q.shape[0]!, numHeads, 1] } as const;
  const [output, keys, values, logSums] = q.graph.apply(operation, inputs, [q, pastKeys, pastValues, sums]);
  return { output: output!, keys: keys!, values: values!, logSums: logSums! };
}

/** The value of the attribute `qk_output` with which the scores are what softmax is taken of. */
const BEFORE_SOFTMAX = 1n;

/**
 * ln Σ eˢ over the positions of each sequence of scores [B, h, 1, total]: [B, h, 1]. What lies behind a sequence's last
 * position was never written. As in `logSumExp`, by way of the softmax.
 */
function logSumOfValid(emit: Emitter, scores: string, lastPositions: string, totalLength: string): string {
  const node = (type: string, ...inputs: string[]) => emit.node(type, inputs)[0]!;
  const integer = (value: number) => emit.constant(Int32Array.of(value), []);
  const last = node("Unsqueeze", lastPositions, emit.constant(BigInt64Array.of(1n, 2n, 3n), [3]));
  const isBehind = node("Greater", node("Range", integer(0), totalLength, integer(1)), last);
  const valid = node("Where", isBehind, emit.constant(Float32Array.of(NOWHERE), []), scores);
  const axes = emit.constant(BigInt64Array.of(-1n), [1]);
  const max = (x: string) => emit.node("ReduceMax", [x, axes], { attributes: { keepdims: 0n } })[0]!;
  const [probabilities] = emit.node("Softmax", [valid], { attributes: { axis: -1n } });
  return node("Sub", max(valid), node("Log", max(probabilities!)));
}

/** A part of attention: its result [B, h, D], and ln Σ eˢ [B, h, 1]. */
interface AttentionPart {
  readonly output: Tensor;
  readonly logSums: Tensor;
}

/** The attention to both parts, [B, h, D]. */
export function joinAttention(own: AttentionPart, other: AttentionPart): Tensor {
  if (!sameShape(own.output.shape, other.output.shape)) {
    const found = `${showShape(own.output.shape)} and ${showShape(other.output.shape)}`;
    throw new GraphError(`joinAttention takes two results of one shape, not ${found}`);
  }
  const weight = sigmoid(subtract(other.logSums, own.logSums)); // [B, h, 1]
  return add(own.output, multiply(weight, subtract(other.output, own.output)));
}
