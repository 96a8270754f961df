/**
 * A loop over chunks (ONNX `Loop`): a computation whose intermediate results are too large to have whole runs on one
 * chunk of its operands after another, and only the results are kept.
 *
 * The body is written with ordinary operations on one chunk, gradients included. Whatever in it does not depend on the
 * chunk (a weight) stays outside of the loop and is computed once. The loop itself has no gradient: a body that is to be
 * differentiated computes its gradient itself, chunk by chunk, while the chunk's intermediate results are there, which is
 * also why a loop saves memory where plain reverse mode would keep every chunk (Hsu et al., arXiv:2410.10989, §3.2).
 */

import { GraphError } from "../errors.ts";
import { type Shape, showShape } from "./dim.ts";
import { lowerNodes } from "./onnx.ts";
import { expand } from "./ops/broadcast.ts";
import { type GraphNode, nodesUpTo, type Operation, requireFloat, type Tensor } from "./tensor.ts";
import type { TensorType } from "./tensor-type.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/** What the body makes of one chunk. */
export interface ChunkResults {
  /** float32, any shape; the loop's result has one for each chunk on a new first axis. */
  readonly stacked: Tensors;
  /** float32, any shape; the loop's result is the sum over the chunks. */
  readonly summed: Tensors;
}

/**
 * Runs `body` once for each index j of the first axis, which all `operands` share (at least one, of size ≥ 1): it sees
 * operand[j]. Chunks run in order, one at a time. Returns the stacked and the summed results.
 */
export function forEachChunk(operands: Tensors, body: (chunk: Tensors) => ChunkResults): ChunkResults {
  const sliced = Object.values(operands);
  const count = sliced[0]?.shape[0];
  if (count === undefined || !sliced.every(({ shape }) => shape[0] === count)) {
    const found = sliced.map(({ shape }) => showShape(shape)).join(", ");
    throw new GraphError(`forEachChunk takes operands with as many chunks on the first axis, not ${found || "none"}`);
  }
  const { graph } = sliced[0]!;

  const chunks = sliced.map((x) => graph.apply(chunkOf, [], [{ dtype: x.dtype, shape: x.shape.slice(1) }])[0]!);
  const results = body(Object.fromEntries(Object.keys(operands).map((name, i) => [name, chunks[i]!])));
  const summed = Object.values(results.summed);
  const stacked = Object.values(results.stacked);
  requireFloat("forEachChunk", ...summed, ...stacked);
  const inner = dependents(chunks, [...summed, ...stacked]);
  const inside = new Set<Tensor>([...chunks, ...inner.flatMap(({ outputs }) => outputs)]);
  if (![...summed, ...stacked].every((result) => inside.has(result))) {
    throw new GraphError("forEachChunk: a result of the body does not depend on the chunk");
  }
  const captured = [...new Set(inner.flatMap(({ inputs }) => inputs))].filter((input) => !inside.has(input));
  const zeros = summed.map(({ shape }) => expand(graph.scalar(0), shape));

  const operation: Operation = {
    name: "forEachChunk",
    lower: (emit, inputs) => {
      const [slices, starts, outer] = pieces(inputs, sliced.length, zeros.length);
      const types: TensorType[] = [
        { dtype: "int64", shape: [] },
        { dtype: "bool", shape: [] },
        ...summed.map(({ shape }) => ({ dtype: "float32", shape }) as const),
      ];
      const loopBody = emit.subgraph(types, (within, [iteration, condition, ...sums]) => {
        const known = new Map(captured.map((tensor, i) => [tensor, outer[i]!]));
        chunks.forEach((chunk, i) => {
          known.set(chunk, within.node("Gather", [slices[i]!, iteration!], { attributes: { axis: 0n } })[0]!);
        });
        lowerNodes(within, inner, known, [...summed, ...stacked]);
        // As ONNX's `Sum` and not its `Add`, because ONNX Runtime makes of a product and a `Sum` one `Gemm`.
        const plus = within.target.lacks.has("Sum") ? "Add" : "Sum";
        const carried = summed.map((result, i) => within.node(plus, [known.get(result)!, sums[i]!])[0]!);
        const kept = stacked.map((result) => within.node("Identity", [known.get(result)!])[0]!);
        return [
          { name: within.node("Identity", [condition!])[0]!, dtype: "bool", shape: [] },
          ...summed.map(({ dtype, shape }, i) => ({ name: carried[i]!, dtype, shape })),
          ...stacked.map(({ dtype, shape }, i) => ({ name: kept[i]!, dtype, shape })),
        ];
      });
      const always = "";
      return emit.node("Loop", [emit.shape([count]), always, ...starts], {
        outputs: summed.length + stacked.length,
        attributes: { body: loopBody },
      });
    },
  };
  const stackedTypes = stacked.map(({ shape }) => ({ dtype: "float32", shape: [count, ...shape] as Shape }) as const);
  const outputs = graph.apply(operation, [...sliced, ...zeros, ...captured], [...summed, ...stackedTypes]);
  const named = (of: Tensors, first: number) =>
    Object.fromEntries(Object.keys(of).map((name, i) => [name, outputs[first + i]!]));
  return { summed: named(results.summed, 0), stacked: named(results.stacked, summed.length) };
}

/** Stands for one chunk of an operand inside of a body; the loop lowers it. */
const chunkOf: Operation = {
  name: "chunkOf",
  lower: () => {
    throw new GraphError("a chunk was used outside of the body of its loop");
  },
};

/** The nodes between `sources` and `results`: those that a loop must run again for each chunk. */
function dependents(sources: readonly Tensor[], results: readonly Tensor[]): GraphNode[] {
  const touched = new Set<Tensor>(sources);
  return nodesUpTo(...results).filter((node) => {
    if (!node.inputs.some((input) => touched.has(input))) return false;
    for (const output of node.outputs) touched.add(output);
    return true;
  });
}

/** The first `a` names, the next `b`, the rest. */
function pieces(
  names: readonly string[],
  a: number,
  b: number,
): [readonly string[], readonly string[], readonly string[]] {
  return [names.slice(0, a), names.slice(a, a + b), names.slice(a + b)];
}
