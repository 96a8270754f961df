/**
 * Attention, in the two forms that a language model needs: over whole sequences with a gradient, and over a key-value
 * cache that grows in place. Both compute softmax(scale · q·kᵀ + mask)·v with grouped heads (Ainslie et al.,
 * arXiv:2305.13245): query head j reads key-value head ⌊j·kv/h⌋. And rotary position embedding, which both are fed with.
 */

import { GraphError } from "../../errors.ts";
import { type Dim, dimMultiply, sameShape, showShape } from "../dim.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { sum } from "./broadcast.ts";
import { add, multiply, negate, subtract } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { softmax } from "./normalize.ts";
import { reshape } from "./shape.ts";

/**
 * Grouped attention. q [B, kv, r·T, D] (the r = h/kv query heads of a key-value head, `repeats`, are rows of one matrix,
 * so keys are never repeated), k and v [B, kv, M, D], mask additive, broadcastable to [B, kv, r, T, M]. Returns
 * [B, kv, r·T, D].
 *
 * Gradient, with p the probabilities, o the output, g upstream: dv = pᵀg; dp = g·vᵀ; ds = p·(dp − Σ_D g·o), the row sum
 * taken over D instead of M (Dao et al., arXiv:2205.14135, eq. 4); dq = scale·ds·k; dk = scale·dsᵀ·q.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor,
  heads: { repeats: number; scale: number },
): Tensor {
  requireFloat("attention", q, k, v, mask);
  const [batch, kv, rows] = q.shape as [Dim, Dim, Dim, Dim];
  const length = k.shape[2]!;
  const steps = mask.shape[mask.shape.length - 2]!; // T
  if (q.shape.length !== 4 || dimMultiply(steps, heads.repeats) !== rows || !sameShape(k.shape, v.shape)) {
    throw new GraphError(`attention: q ${showShape(q.shape)}, k ${showShape(k.shape)}, mask ${showShape(mask.shape)}`);
  }
  const scores = matmul(q, k, { transposeB: true, scale: heads.scale });
  const masked = add(reshape(scores, [batch, kv, heads.repeats, steps, length]), mask);
  const probabilities = reshape(softmax(masked), [batch, kv, rows, length]);

  // The probabilities enter as an operand, so that the backward pass reads them instead of recomputing them; no
  // gradient flows into them, because this operation sends it to q, k and v itself.
  const operation: Operation = {
    name: "attention",
    lower: (emit, inputs) => emit.node("MatMul", [inputs[0]!, inputs[3]!]),
    gradient: ({ outputs: [o] }, [g], wants) => {
      const toV = wants[3] ? matmul(probabilities, g!, { transposeA: true }) : undefined;
      if (!wants[1] && !wants[2]) return [undefined, undefined, undefined, toV];
      const correction = sum(multiply(g!, o!), [-1], true); // [B, kv, r·T, 1]
      const toScores = multiply(probabilities, subtract(matmul(g!, v, { transposeB: true }), correction));
      return [
        undefined,
        matmul(toScores, k, { scale: heads.scale }),
        matmul(toScores, q, { transposeA: true, scale: heads.scale }),
        toV,
      ];
    },
  };
  return q.graph.apply(operation, [probabilities, q, k, v], [{ dtype: "float32", shape: q.shape }])[0]!;
}

/**
 * Rotary position embedding in the half-split layout (Su et al., arXiv:2104.09864; the pairing of Hugging Face's models):
 * x [N, 1, heads·D], positions [N, 1] (int64), cos and sin tables [K, D/2]; the tokens are ONNX Runtime's batch axis,
 * because along its sequence axis it takes no more tokens than the tables have rows. Its gradient is the rotation by the
 * opposite angle. Positions beyond the tables make the run fail.
 */
export function rotaryEmbedding(x: Tensor, positions: Tensor, cos: Tensor, sin: Tensor): Tensor {
  requireFloat("rotaryEmbedding", x, cos, sin);
  const operation: Operation = {
    name: "rotaryEmbedding",
    lower: (emit, inputs) => emit.node("RotaryEmbedding", inputs, { microsoft: true, attributes: { interleaved: 0n } }),
    gradient: (_, [g]) => [rotaryEmbedding(g!, positions, cos, negatedTable(sin))],
  };
  return x.graph.apply(operation, [x, positions, cos, sin], [{ dtype: "float32", shape: x.shape }])[0]!;
}

const negatedTables = new WeakMap<Tensor, Tensor>();

/** −sin, made once per table however many layers rotate by it. */
function negatedTable(sin: Tensor): Tensor {
  const negated = negatedTables.get(sin) ?? negate(sin);
  negatedTables.set(sin, negated);
  return negated;
}

/** Operands of `cachedAttention`; B sequences, T new positions each, M positions in the cache. */
export interface CachedAttentionOperands {
  readonly q: Tensor; // [B, T, h·D]
  readonly k: Tensor; // [B, T, kv·D]
  readonly v: Tensor; // [B, T, kv·D]
  readonly pastKeys: Tensor; // [B, kv, M, D]
  readonly pastValues: Tensor; // [B, kv, M, D]
  /** int32 [B]: valid positions after this step, less one. */
  readonly lastPositions: Tensor;
  /** int32 scalar: the largest number of valid positions after this step. */
  readonly totalLength: Tensor;
  /** Tables [≥ M, D/2]: with them q and k come unrotated and are rotated to their positions. D is a multiple of 16. */
  readonly cos?: Tensor;
  readonly sin?: Tensor;
}

/**
 * Causal attention of new positions over a cache, by ONNX Runtime's `GroupQueryAttention`. Returns the result [B, T, h·D]
 * and the new cache; run with the past and the new cache in the same memory, nothing is copied. T is 1, or B is 1, or
 * the cache is empty and rows shorter than T are padded on the right. With a `window` a position attends to so many
 * positions only, the last of which is its own. Not differentiable.
 */
export function cachedAttention(
  operands: CachedAttentionOperands,
  heads: { numHeads: number; numKvHeads: number; scale: number; window?: number | null },
): { readonly output: Tensor; readonly keys: Tensor; readonly values: Tensor } {
  const { q, k, v, pastKeys, pastValues, lastPositions, totalLength, cos, sin } = operands;
  const operation: Operation = {
    name: "cachedAttention",
    lower: (emit, inputs) =>
      emit.node("GroupQueryAttention", inputs, {
        outputs: 3,
        microsoft: true,
        attributes: {
          num_heads: BigInt(heads.numHeads),
          kv_num_heads: BigInt(heads.numKvHeads),
          scale: heads.scale,
          do_rotary: cos && sin ? 1n : 0n,
          // Positions before its own; without the attribute there is no window.
          ...(heads.window ? { local_window_size: BigInt(heads.window) } : {}),
        },
      }),
  };
  const inputs = [q, k, v, pastKeys, pastValues, lastPositions, totalLength, ...(cos && sin ? [cos, sin] : [])];
  const [output, keys, values] = q.graph.apply(operation, inputs, [q, pastKeys, pastValues]);
  return { output: output!, keys: keys!, values: values! };
}
