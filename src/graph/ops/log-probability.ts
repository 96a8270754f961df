/**
 * The log-probability of one element of each row: what every loss of a language model is made of. One operation and not
 * the difference of a pick and a log-sum-exp, because the rows are as wide as the vocabulary: its gradient reads the
 * probabilities and makes one more tensor of their size where the difference makes four.
 */

import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { multiply, negate, subtract } from "./elementwise.ts";
import { pickLast } from "./index.ts";
import { logSumExp, softmax } from "./normalize.ts";
import { after, reshape } from "./shape.ts";

/**
 * ln softmax(x)[indices] for x [N, V] and indices [N] (int64): [N], in nats. With p the probabilities and g upstream,
 * dx = −g · (p − one-hot(indices)).
 */
export function logProbability(x: Tensor, indices: Tensor): Tensor {
  requireFloat("logProbability", x);
  const probabilities = softmax(x);
  const value = subtract(pickLast(x, indices), reshape(logSumExp(x), indices.shape));
  // Probabilities and value are operands; no gradient flows into them, because the gradient of this operation already
  // covers them.
  const operation: Operation = {
    name: "logProbability",
    lower: (_, inputs) => [inputs[3]!],
    gradient: (_, [g]) => {
      const column = [...indices.shape, 1];
      // Ordered after the arriving gradient: by then nothing else reads the probabilities, and the result can take
      // their memory.
      const toX = multiply(lessOneHot(probabilities, after(indices, g!)), reshape(negate(g!), column));
      return [toX, undefined, undefined, undefined];
    },
  };
  return x.graph.apply(operation, [x, indices, probabilities, value], [value])[0]!;
}

/** p [N, V] with 1 taken from the element at indices [N] of each row. Not differentiable. */
function lessOneHot(p: Tensor, indices: Tensor): Tensor {
  const operation: Operation = {
    name: "lessOneHot",
    lower: (emit, [target, index]) => {
      const column = emit.node("Unsqueeze", [index!, emit.constant(BigInt64Array.of(1n), [1])])[0]!;
      const shape = emit.shape([...indices.shape, 1]);
      const ones = emit.node("Expand", [emit.constant(Float32Array.of(-1), []), shape])[0]!;
      return emit.node("ScatterElements", [target!, column, ones], { attributes: { axis: 1n, reduction: "add" } });
    },
  };
  return p.graph.apply(operation, [p, indices], [p])[0]!;
}
