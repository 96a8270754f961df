/** The gated activation of the Qwen models. */

import { floatDTypeOf, type Operation, requireOneShape, type Tensor } from "../tensor.ts";
import { add, multiply, subtract } from "./elementwise.ts";

const sigmoidOperation: Operation = {
  name: "sigmoid",
  lower: (emit, inputs) => emit.node("Sigmoid", inputs),
  gradient: ({ outputs: [y] }, [g]) => [multiply(g!, subtract(y!, multiply(y!, y!)))],
};

/** 1 / (1 + e⁻ˣ). */
export function sigmoid(x: Tensor): Tensor {
  const dtype = floatDTypeOf("sigmoid", x);
  return x.graph.apply(sigmoidOperation, [x], [{ dtype, shape: x.shape }])[0]!;
}

/**
 * SwiGLU (Shazeer, arXiv:2002.05202): silu(gate) · up, silu(x) = x·σ(x); both of one shape.
 * With s = σ(gate) and a = gate·s: dup = g·a; dgate = g·up·(s + a − a·s). s and a are computed again rather than kept.
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  const dtype = floatDTypeOf("swiglu", gate, up);
  requireOneShape("swiglu", gate, up);
  const operation: Operation = {
    name: "swiglu",
    lower: (emit, [g, u]) => {
      const activated = emit.node("QuickGelu", [g!], { microsoft: true, attributes: { alpha: 1 } });
      return emit.node("Mul", [activated[0]!, u!]);
    },
    gradient: (_, [g], wants) => {
      const s = sigmoid(gate);
      const a = multiply(gate, s);
      const slope = () => subtract(add(s, a), multiply(a, s));
      return [wants[0] ? multiply(multiply(g!, up), slope()) : undefined, wants[1] ? multiply(g!, a) : undefined];
    },
  };
  return gate.graph.apply(operation, [gate, up], [{ dtype, shape: gate.shape }])[0]!;
}
