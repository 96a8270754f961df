/**
 * A part of a graph whose intermediate results are not kept for the backward pass but computed again there (gradient
 * checkpointing; Chen et al., arXiv:1604.06174): it takes the time of one more forward pass, and of this part only its
 * input is kept in memory.
 *
 * The part is built twice. The first copy computes it from its input. The second computes it from the same input when a
 * gradient arrives, and is ordered after that gradient. Without this order ONNX Runtime could compute the second copy
 * at any time, or see that both are equal and keep the first.
 */

import { pullBack } from "./gradient.ts";
import { after } from "./ops/shape.ts";
import { nodesUpTo, type Operation, type Tensor } from "./tensor.ts";

/**
 * `build(x)`; `build` has no effect but the nodes that it makes, and makes the same ones each time. x and the result have
 * at least one axis.
 */
export function recomputed(x: Tensor, build: (x: Tensor) => Tensor): Tensor {
  const result = build(x);
  const captured = capturedFrom(x, result);
  const operation: Operation = {
    name: "recomputed",
    movesOnly: true,
    lower: (_, [first]) => [first!],
    gradient: (_, [g], wants) => {
      const again = after(x, g!);
      const sources = [again, ...captured];
      const wanted = sources.filter((_source, i) => wants[1 + i]);
      const found = pullBack(new Map([[build(again), g!]]), wanted);
      const gradientOf = new Map(wanted.map((source, i) => [source, found[i]]));
      const [toX, ...toCaptured] = sources.map((source) => gradientOf.get(source));
      // What is trained in this part gets its gradient before the backward pass goes on, so that what was computed again
      // can be let go of.
      const done = toCaptured.filter((gradient) => gradient !== undefined);
      return [undefined, toX && done.length > 0 ? after(toX, ...done) : toX, ...toCaptured];
    },
  };
  return x.graph.apply(operation, [result, x, ...captured], [result])[0]!;
}

/** What is read on the way from x to `result` and does not depend on x: weights, masks, tables. */
function capturedFrom(x: Tensor, result: Tensor): Tensor[] {
  const inside = new Set<Tensor>([x]);
  const captured = new Set<Tensor>();
  for (const { inputs, outputs } of nodesUpTo(result)) {
    if (!inputs.some((input) => inside.has(input))) continue;
    for (const input of inputs) if (!inside.has(input)) captured.add(input);
    for (const output of outputs) inside.add(output);
  }
  return [...captured];
}
