/** The gated activation of the Gemma models. */

import { floatDTypeOf, type Operation, requireOneShape, type Tensor } from "../tensor.ts";
import { scalarLike } from "./cast.ts";
import { add, multiply, subtract } from "./elementwise.ts";

const tanhOperation: Operation = {
  name: "tanh",
  lower: (emit, inputs) => emit.node("Tanh", inputs),
  gradient: ({ outputs: [y] }, [g]) => [subtract(g!, multiply(g!, multiply(y!, y!)))],
};

/** (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ). */
export function tanh(x: Tensor): Tensor {
  const dtype = floatDTypeOf("tanh", x);
  return x.graph.apply(tanhOperation, [x], [{ dtype, shape: x.shape }])[0]!;
}

/** k and c of GELU's approximation 0.5·x·(1 + tanh(k·(x + c·x³))) (Hendrycks & Gimpel, arXiv:1606.08415, §2). */
const K = Math.sqrt(2 / Math.PI);
const C = 0.044715;

const gelu: Operation = {
  name: "gelu",
  lower: (emit, inputs) => emit.node("FastGelu", inputs, { microsoft: true }),
};

/**
 * GeGLU (Shazeer, arXiv:2002.05202) with the approximation above, transformers' `gelu_pytorch_tanh`: gelu(gate) · up; both
 * of one shape. With t = tanh(k·(x + c·x³)) and x the gate: dup = g·gelu(x); dgate = g·up·0.5·(1 + t + x·(1 − t²)·k·(1 +
 * 3·c·x²)). t is computed again rather than kept.
 */
export function geglu(gate: Tensor, up: Tensor): Tensor {
  const dtype = floatDTypeOf("geglu", gate, up);
  requireOneShape("geglu", gate, up);
  const type = { dtype, shape: gate.shape };
  const [activated] = gate.graph.apply(gelu, [gate], [type]);
  // gelu(gate) enters as an operand of its own; no gradient flows into it, because this operation sends it to the gate itself.
  const operation: Operation = {
    name: "geglu",
    lower: (emit, inputs) => emit.node("Mul", inputs.slice(0, 2)),
    gradient: (_, [g], wants) => {
      const scalar = (value: number) => scalarLike(gate, value);
      const square = multiply(gate, gate);
      const t = tanh(multiply(multiply(gate, scalar(K)), add(multiply(square, scalar(C)), scalar(1))));
      const half = multiply(add(t, scalar(1)), scalar(0.5)); // (1 + t) / 2
      const slope = () => {
        const inner = add(multiply(square, scalar(3 * C * K)), scalar(K));
        const bend = multiply(subtract(scalar(1), multiply(t, t)), multiply(gate, inner));
        return add(half, multiply(bend, scalar(0.5)));
      };
      return [
        undefined,
        wants[1] ? multiply(g!, multiply(gate, half)) : undefined,
        wants[2] ? multiply(multiply(g!, up), slope()) : undefined,
      ];
    },
  };
  return gate.graph.apply(operation, [activated!, up, gate], [type])[0]!;
}
