/**
 * Reverse-mode differentiation: a transform from graph to graph (Griewank & Walther, "Evaluating Derivatives", ch. 3).
 * The adjoint of every operation is more operations, so the backward pass is lowered, fused and run like the forward.
 */

import { GraphError } from "../errors.ts";
import { sameShape, showShape } from "./dim.ts";
import { add } from "./ops/elementwise.ts";
import { type GraphNode, nodesUpTo, type Tensor } from "./tensor.ts";

/**
 * d loss / d w for each `w`, where `loss` is a float32 scalar. A tensor that the loss does not depend on gets undefined.
 * Throws GraphError where a path leads through an operation without a gradient.
 */
export function gradients(loss: Tensor, withRespectTo: readonly Tensor[]): (Tensor | undefined)[] {
  if (loss.dtype !== "float32" || loss.shape.length !== 0) {
    throw new GraphError(`gradients are taken of a float32 scalar, not of ${loss.dtype} ${showShape(loss.shape)}`);
  }
  return pullBack(new Map([[loss, loss.graph.scalar(1)]]), withRespectTo);
}

/**
 * Σ_y gᵧ · dy/dw for each `w`: the adjoints g of the tensors y, given by `seeds` in the shape of each, carried back to `w`.
 * For a loss whose derivative with respect to y was found by other means. Undefined and errors as in `gradients`.
 */
export function pullBack(seeds: ReadonlyMap<Tensor, Tensor>, withRespectTo: readonly Tensor[]): (Tensor | undefined)[] {
  const order = nodesUpTo(...seeds.keys());
  const needed = markNeeded(order, withRespectTo);
  const adjoints = new Map<Tensor, Tensor>(seeds);

  for (const node of order.reverse()) {
    const outputGradients = node.outputs.map((output) => adjoints.get(output));
    if (outputGradients.every((gradient) => gradient === undefined)) continue;
    const wants = node.inputs.map((input) => needed.has(input));
    if (!wants.includes(true)) continue;
    if (!node.operation.gradient) throw new GraphError(`${node.operation.name} has no gradient`);
    const inputGradients = node.operation.gradient(node, outputGradients, wants);
    node.inputs.forEach((input, i) => {
      const gradient = inputGradients[i];
      if (!gradient || !wants[i]) return;
      if (!sameShape(gradient.shape, input.shape)) {
        const found = `${showShape(gradient.shape)} for an operand of shape ${showShape(input.shape)}`;
        throw new GraphError(`${node.operation.name}: its gradient has shape ${found}`);
      }
      const known = adjoints.get(input);
      adjoints.set(input, known ? add(known, gradient) : gradient);
    });
  }
  return withRespectTo.map((tensor) => adjoints.get(tensor));
}

/** The tensors that depend on any of `sources`: only they need an adjoint. */
function markNeeded(order: readonly GraphNode[], sources: readonly Tensor[]): Set<Tensor> {
  const needed = new Set<Tensor>(sources);
  for (const node of order) {
    if (node.inputs.some((input) => needed.has(input))) for (const output of node.outputs) needed.add(output);
  }
  return needed;
}
