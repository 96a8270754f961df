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

const silu: Operation = {
  name: "silu",
  lower: (emit, inputs) => emit.node("QuickGelu", inputs, { microsoft: true, attributes: { alpha: 1 } }),
};

/**
 * SwiGLU (Shazeer, arXiv:2002.05202): silu(gate) · up, silu(x) = x·σ(x); both of one shape.
 * With s = σ(gate) and a = gate·s: dup = g·a; dgate = g·up·(s + a − a·s). s and a are computed again rather than kept.
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  const dtype = floatDTypeOf("swiglu", gate, up);
  requireOneShape("swiglu", gate, up);
  const type = { dtype, shape: gate.shape };
  const [activated] = gate.graph.apply(silu, [gate], [type]);
  // silu(gate) enters as an operand of its own; no gradient flows into it, because this operation sends it to the gate itself.
  const operation: Operation = {
    name: "swiglu",
    lower: (emit, inputs) => emit.node("Mul", inputs.slice(0, 2)),
    gradient: (_, [g], wants) => {
      const s = sigmoid(gate);
      const a = multiply(gate, s);
      const slope = () => subtract(add(s, a), multiply(a, s));
      const toGate = wants[2] ? multiply(multiply(g!, up), slope()) : undefined;
      return [undefined, wants[1] ? multiply(g!, a) : undefined, toGate];
    },
  };
  return gate.graph.apply(operation, [activated!, up, gate], [type])[0]!;
}
