/** Normalisations over the last axis: softmax, log-sum-exp and RMSNorm; and its maximum. */

import { GraphError } from "../../errors.ts";
import { sameShape, shapeSize, showShape } from "../dim.ts";
import type { Emitter } from "../emitter.ts";
import { type Operation, requireFloat, type Tensor } from "../tensor.ts";
import { sum } from "./broadcast.ts";
import { multiply, subtract } from "./elementwise.ts";
import { matmul } from "./matmul.ts";
import { reshape } from "./shape.ts";

/** eˣ / Σ eˣ over the last axis. */
export function softmax(x: Tensor): Tensor {
  requireFloat("softmax", x);
  const operation: Operation = {
    name: "softmax",
    lower: (emit, inputs) => emit.node("Softmax", inputs, { attributes: { axis: -1n } }),
    gradient: ({ outputs: [p] }, [g]) => [multiply(p!, subtract(g!, sum(multiply(g!, p!), [-1], true)))],
  };
  return x.graph.apply(operation, [x], [{ dtype: "float32", shape: x.shape }])[0]!;
}

/**
 * ln Σ eˣ over the last axis, which keeps size 1: as max x − ln max softmax(x), where the largest probability is at least
 * one over the size of the axis. Wherever this is computed the softmax is wanted too, for an entropy or a gradient, and
 * ONNX Runtime's softmax takes a fifth of the time of its ReduceLogSumExp.
 */
export function logSumExp(x: Tensor): Tensor {
  requireFloat("logSumExp", x);
  const probabilities = softmax(x);
  // The probabilities are an operand; no gradient flows into them, because the gradient of this operation already
  // covers them.
  const operation: Operation = {
    name: "logSumExp",
    lower: (emit, inputs) => {
      const axes = emit.constant(BigInt64Array.of(-1n), [1]);
      const max = (name: string) => emit.node("ReduceMax", [name, axes], { attributes: { keepdims: 1n } })[0]!;
      const [largest, probability] = inputs.map(max) as [string, string];
      return emit.node("Sub", [largest, ...emit.node("Log", [probability])]);
    },
    gradient: (_, [g]) => [multiply(probabilities, g!), undefined],
  };
  const outputs = [{ dtype: "float32", shape: [...x.shape.slice(0, -1), 1] }] as const;
  return x.graph.apply(operation, [x, probabilities], outputs)[0]!;
}

/** max x over the last axis, which keeps size 1. Not differentiable: for values that are only reported. */
export function largest(x: Tensor): Tensor {
  requireFloat("largest", x);
  const operation: Operation = {
    name: "largest",
    lower: (emit, inputs) => {
      const axes = emit.constant(BigInt64Array.of(-1n), [1]);
      return emit.node("ReduceMax", [inputs[0]!, axes], { attributes: { keepdims: 1n } });
    },
  };
  return x.graph.apply(operation, [x], [{ dtype: "float32", shape: [...x.shape.slice(0, -1), 1] }])[0]!;
}

/** 1/√(mean(x²) + ε) over the last axis, which keeps size 1. */
function inverseDeviation(emit: Emitter, x: string, epsilon: number): string {
  const node = (type: string, ...inputs: string[]) => emit.node(type, inputs)[0]!;
  const scalar = (value: number) => emit.constant(Float32Array.of(value), []);
  const axes = emit.constant(BigInt64Array.of(-1n), [1]);
  const [mean] = emit.node("ReduceMean", [node("Mul", x, x), axes], { attributes: { keepdims: 1n } });
  return node("Div", scalar(1), node("Sqrt", node("Add", mean!, scalar(epsilon))));
}

/**
 * RMSNorm (Zhang & Sennrich, arXiv:1910.07467): y = gain · x / √(mean(x²) + ε) over the last axis; x [N…, H], gain [H].
 * With s = 1/√(mean(x²) + ε), x̂ = s·x and m = g·x̂: dgain = Σ_rows m; dx = s·(g·gain − x̂ · (m·gain)/H), where m·gain is
 * a matrix-vector product.
 */
export function rmsNorm(x: Tensor, gain: Tensor, epsilon: number): Tensor {
  requireFloat("rmsNorm", x, gain);
  const width = x.shape.at(-1)!;
  if (typeof width !== "number" || !sameShape(gain.shape, [width])) {
    throw new GraphError(`rmsNorm: a gain of shape ${showShape(gain.shape)} does not fit ${showShape(x.shape)}`);
  }
  const rowShape = [...x.shape.slice(0, -1), 1];
  const operation: Operation = {
    name: "rmsNorm",
    lower: (emit, inputs, _, [, readsInverse]) => {
      const isOwn = readsInverse && emit.target.lacks.has("SimplifiedLayerNormalization.inverse");
      const attributes = { axis: -1n, epsilon, stash_type: 1n };
      const outputs = readsInverse && !isOwn ? 2 : 1;
      const [normalized, inverse = ""] = emit.node("SimplifiedLayerNormalization", inputs, { outputs, attributes });
      return [normalized!, isOwn ? inverseDeviation(emit, inputs[0]!, epsilon) : inverse];
    },
    gradient: ({ outputs: [, inverse] }, [g], wants) => {
      const normalized = multiply(x, inverse!);
      const product = multiply(g!, normalized); // m [N…, H]
      const rows = shapeSize(rowShape);
      const toGain = wants[1] ? sum(reshape(product, [rows, width]), [0]) : undefined;
      if (!wants[0]) return [undefined, toGain];
      const projection = matmul(reshape(product, [rows, width]), reshape(gain, [width, 1]), { scale: 1 / width });
      const along = multiply(normalized, reshape(projection, rowShape));
      return [multiply(subtract(multiply(g!, gain), along), inverse!), toGain];
    },
  };
  const inverse = { dtype: "float32", shape: rowShape } as const;
  return x.graph.apply(operation, [x, gain], [{ dtype: "float32", shape: x.shape }, inverse])[0]!;
}
