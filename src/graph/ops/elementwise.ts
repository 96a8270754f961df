/**
 * Elementwise operations with NumPy broadcasting. A gradient that was broadcast is summed back to its operand's shape.
 */

import { broadcastShapes, type Dim, sameShape } from "../dim.ts";
import { floatDTypeOf, type Operation, requireFloat, requireOneShape, type Tensor } from "../tensor.ts";
import { sum } from "./broadcast.ts";
import { scalarLike } from "./cast.ts";
import { reshape } from "./shape.ts";

/** Sums `gradient` over the axes along which `target` was broadcast. */
function unbroadcast(gradient: Tensor, target: Tensor): Tensor {
  if (sameShape(gradient.shape, target.shape)) return gradient;
  const lead = gradient.shape.length - target.shape.length;
  const axes = gradient.shape.flatMap((dim, axis) => {
    const own: Dim | undefined = axis < lead ? undefined : target.shape[axis - lead];
    return own === undefined || (own === 1 && dim !== 1) ? [axis] : [];
  });
  return reshape(sum(gradient, axes), target.shape);
}

function binary(operation: Operation, a: Tensor, b: Tensor): Tensor {
  const dtype = floatDTypeOf(operation.name, a, b);
  const shape = broadcastShapes(a.shape, b.shape);
  return a.graph.apply(operation, [a, b], [{ dtype, shape }])[0]!;
}

function unary(operation: Operation, x: Tensor): Tensor {
  const dtype = floatDTypeOf(operation.name, x);
  return x.graph.apply(operation, [x], [{ dtype, shape: x.shape }])[0]!;
}

const addOperation: Operation = {
  name: "add",
  lower: (emit, inputs) => emit.node("Add", inputs),
  gradient: ({ inputs: [a, b] }, [g]) => [unbroadcast(g!, a!), unbroadcast(g!, b!)],
};

const subtractOperation: Operation = {
  name: "subtract",
  lower: (emit, inputs) => emit.node("Sub", inputs),
  gradient: ({ inputs: [a, b] }, [g], wants) => [
    unbroadcast(g!, a!),
    wants[1] ? unbroadcast(negate(g!), b!) : undefined,
  ],
};

const multiplyOperation: Operation = {
  name: "multiply",
  lower: (emit, inputs) => emit.node("Mul", inputs),
  gradient: ({ inputs: [a, b] }, [g], wants) => [
    wants[0] ? unbroadcast(multiply(g!, b!), a!) : undefined,
    wants[1] ? unbroadcast(multiply(g!, a!), b!) : undefined,
  ],
};

const divideOperation: Operation = {
  name: "divide",
  lower: (emit, inputs) => emit.node("Div", inputs),
  gradient: ({ inputs: [a, b], outputs: [y] }, [g], wants) => {
    const scaled = divide(g!, b!);
    return [unbroadcast(scaled, a!), wants[1] ? unbroadcast(negate(multiply(scaled, y!)), b!) : undefined];
  },
};

const negateOperation: Operation = {
  name: "negate",
  lower: (emit, inputs) => emit.node("Neg", inputs),
  gradient: (_, [g]) => [negate(g!)],
};

const exponentialOperation: Operation = {
  name: "exponential",
  lower: (emit, inputs) => emit.node("Exp", inputs),
  gradient: ({ outputs: [y] }, [g]) => [multiply(g!, y!)],
};

const squareRootOperation: Operation = {
  name: "squareRoot",
  lower: (emit, inputs) => emit.node("Sqrt", inputs),
  gradient: ({ outputs: [y] }, [g]) => [divide(g!, scale(y!, 2))],
};

const logarithmOperation: Operation = {
  name: "logarithm",
  lower: (emit, inputs) => emit.node("Log", inputs),
  gradient: ({ inputs: [x] }, [g]) => [divide(g!, x!)],
};

/** a + b. */
export const add = (a: Tensor, b: Tensor): Tensor => binary(addOperation, a, b);
/** a − b. */
export const subtract = (a: Tensor, b: Tensor): Tensor => binary(subtractOperation, a, b);
/** a · b. */
export const multiply = (a: Tensor, b: Tensor): Tensor => binary(multiplyOperation, a, b);
/** a / b. */
export const divide = (a: Tensor, b: Tensor): Tensor => binary(divideOperation, a, b);
/** −x. */
export const negate = (x: Tensor): Tensor => unary(negateOperation, x);
/** eˣ. */
export const exponential = (x: Tensor): Tensor => unary(exponentialOperation, x);
/** √x. */
export const squareRoot = (x: Tensor): Tensor => unary(squareRootOperation, x);
/** ln x. */
export const logarithm = (x: Tensor): Tensor => unary(logarithmOperation, x);
/** factor · x. */
export const scale = (x: Tensor, factor: number): Tensor => multiply(x, scalarLike(x, factor));

/** x with no gradient flowing into it. */
export function stopGradient(x: Tensor): Tensor {
  const operation: Operation = {
    name: "stopGradient",
    movesOnly: true,
    lower: (_, inputs) => inputs,
    gradient: () => [undefined],
  };
  return x.graph.apply(operation, [x], [x])[0]!;
}

/** 1 where a ≤ b, else 0; both of one shape. Not differentiable: its gradient is zero almost everywhere. */
export function lessOrEqual(a: Tensor, b: Tensor): Tensor {
  requireFloat("lessOrEqual", a, b);
  const operation: Operation = {
    name: "lessOrEqual",
    lower: (emit, inputs) => emit.node("Cast", emit.node("LessOrEqual", inputs), { attributes: { to: 1n } }),
    gradient: () => [undefined, undefined],
  };
  return a.graph.apply(operation, [a, b], [{ dtype: "float32", shape: broadcastShapes(a.shape, b.shape) }])[0]!;
}

/** min(a, b), elementwise, both of one shape. Where they are equal the gradient goes to a. */
export function minimum(a: Tensor, b: Tensor): Tensor {
  requireOneShape("minimum", a, b);
  const operation: Operation = {
    name: "minimum",
    lower: (emit, inputs) => emit.node("Min", inputs),
    gradient: (_, [g]) => {
      const toA = multiply(g!, lessOrEqual(a, b));
      return [toA, subtract(g!, toA)];
    },
  };
  return binary(operation, a, b);
}

/** x limited to [low, high]; the gradient is 1 inside, bounds included, and 0 outside. */
export function clip(x: Tensor, low: number, high: number): Tensor {
  const { graph } = x;
  const operation: Operation = {
    name: "clip",
    lower: (emit, [input]) =>
      emit.node("Clip", [input!, emit.constant(Float32Array.of(low), []), emit.constant(Float32Array.of(high), [])]),
    gradient: (_, [g]) => {
      const inside = multiply(lessOrEqual(graph.scalar(low), x), lessOrEqual(x, graph.scalar(high)));
      return [multiply(g!, inside)];
    },
  };
  return unary(operation, x);
}
