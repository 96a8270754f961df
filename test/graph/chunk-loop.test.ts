import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/errors.ts";
import { forEachChunk } from "../../src/graph/chunk-loop.ts";
import { gradients, pullBack } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { add, exponential, multiply, negate, scale } from "../../src/graph/ops/elementwise.ts";
import { gatherRows } from "../../src/graph/ops/index.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { reshape } from "../../src/graph/ops/shape.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { array, randomArray } from "./arrays.ts";
import { difference, evaluate } from "./evaluate.ts";

describe("forEachChunk", () => {
  it("stacks what the body makes of each chunk and adds up what it sums", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["J", "U"]);
    const { stacked, summed } = forEachChunk({ x }, ({ x: chunk }) => ({
      stacked: { doubled: scale(chunk!, 2), total: sum(chunk!) },
      summed: { all: chunk! },
    }));
    expect([stacked.doubled!.shape, stacked.total!.shape, summed.all!.shape]).toEqual([["J", "U"], ["J"], ["U"]]);
    const outputs = { doubled: stacked.doubled!, total: stacked.total!, all: summed.all! };
    for (const count of [1, 2, 5]) {
      const values = Array.from({ length: 3 * count }, (_, i) => i + 1);
      const result = await evaluate(graph, outputs, { x: array([count, 3], values) });
      expect(result.doubled).toEqual(
        array(
          [count, 3],
          values.map((value) => 2 * value),
        ),
      );
      expect(result.total.values).toEqual(Array.from({ length: count }, (_, j) => 9 * j + 6));
      const columns = [0, 1, 2].map((i) => values.filter((_, at) => at % 3 === i).reduce((a, b) => a + b));
      expect(result.all.values).toEqual(columns);
    }
  });

  it("reads what lies outside of it: inputs, constants, computed tensors, run-time shapes", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["J", "U"]);
    const w = graph.input("w", "float32", ["U"]);
    const outside = exponential(w);
    const { stacked } = forEachChunk({ x }, ({ x: chunk }) => ({
      stacked: { y: reshape(add(multiply(chunk!, outside), add(w, graph.scalar(3))), ["U", 1]) },
      summed: {},
    }));
    const result = await evaluate(graph, { y: stacked.y! }, { x: array([2, 2], [1, 2, 3, 4]), w: array([2], [0, 1]) });
    const e = Math.E;
    expect(difference(result.y, array([2, 2, 1], [4, 2 * e + 4, 6, 4 * e + 4]))).toBeLessThan(1e-6);
  });

  it("computes what does not depend on the chunk once, outside", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["J", 2]);
    const w = graph.input("w", "float32", [2]);
    const { stacked } = forEachChunk({ x }, ({ x: chunk }) => ({
      stacked: { y: multiply(chunk!, exponential(negate(w))) },
      summed: {},
    }));
    // The nodes of the model come in order: what stands before the loop is outside of it.
    const text = Buffer.from(lowerToOnnx(graph, { y: stacked.y! }).model).toString("latin1");
    expect(text.indexOf("Exp")).toBeGreaterThan(-1);
    expect(text.indexOf("Exp")).toBeLessThan(text.indexOf("Loop"));
  });

  it("takes several operands, integers among them, and gradients in the body", async () => {
    const graph = new Graph();
    const [J, U, H, V] = [3, 2, 4, 5];
    const h = graph.input("h", "float32", ["J", "U", H]);
    const targets = graph.input("targets", "int64", ["J", "U"]);
    const w = graph.input("w", "float32", [V, H]);
    /** Σ exp(h·Wᵀ)·W[targets]: w enters twice. */
    const lossOf = (states: Tensor, rows: Tensor) =>
      sum(multiply(matmul(exponential(matmul(states, w, { transposeB: true })), w), gatherRows(w, rows)));
    const loop = forEachChunk({ h, targets }, (chunk) => {
      const loss = lossOf(chunk.h!, chunk.targets!);
      const [toH, toW] = gradients(loss, [chunk.h!, w]) as [Tensor, Tensor];
      return { stacked: { loss, toH }, summed: { toW } };
    });
    const whole = lossOf(reshape(h, ["J*U", H]), reshape(targets, ["J*U"]));
    const [toH, toW] = gradients(whole, [h, w]) as [Tensor, Tensor];
    const outputs = {
      loss: sum(loop.stacked.loss!),
      toH: loop.stacked.toH!,
      toW: loop.summed.toW!,
      whole,
      wholeToH: toH,
      wholeToW: toW,
    };
    const feeds = {
      h: randomArray([J, U, H], 1),
      w: randomArray([V, H], 2),
      targets: array([J, U], [0, 3, 1, 4, 4, 2]),
    };
    const result = await evaluate(graph, outputs, feeds);
    expect(difference(result.loss, result.whole)).toBeLessThan(1e-6);
    expect(difference(result.toH, result.wholeToH)).toBeLessThan(1e-6);
    expect(difference(result.toW, result.wholeToW)).toBeLessThan(2e-6);
  });

  it("refuses operands of different counts, none at all, and a result that is the same for every chunk: GraphError", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["J", 2]);
    const y = graph.input("y", "float32", ["K", 2]);
    const body = ({ x: chunk }: Readonly<Record<string, Tensor>>) => ({ stacked: { chunk: chunk! }, summed: {} });
    expect(() => forEachChunk({ x, y }, body)).toThrow(/as many chunks on the first axis, not \[J, 2\], \[K, 2\]/);
    expect(() => forEachChunk({}, body)).toThrow(GraphError);
    expect(() => forEachChunk({ x }, () => ({ stacked: { y }, summed: {} }))).toThrow(/does not depend on the chunk/);
  });

  it("has no gradient itself, and its chunks have no meaning outside of it: GraphError", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["J", 2]);
    let leaked: Tensor | undefined;
    const { stacked } = forEachChunk({ x }, ({ x: chunk }) => {
      leaked = chunk!;
      return { stacked: { y: exponential(chunk!) }, summed: {} };
    });
    expect(() => gradients(sum(stacked.y!), [x])).toThrow("forEachChunk has no gradient");
    expect(() => lowerToOnnx(graph, { y: negate(leaked!) })).toThrow("outside of the body");
  });
});

describe("pullBack", () => {
  it("carries given adjoints of several tensors back, and keeps those of the sources themselves", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const [square, triple] = [multiply(x, x), scale(x, 3)];
    const g = graph.input("g", "float32", [2]);
    const seeds = new Map([
      [square, g],
      [triple, graph.constant(Float32Array.of(10, 20), [2])],
      [x, graph.constant(Float32Array.of(100, 200), [2])],
    ]);
    const [toX] = pullBack(seeds, [x]) as [Tensor];
    // 2x·g + 3·(10, 20) + (100, 200)
    const result = await evaluate(graph, { toX, square }, { x: array([2], [1, 2]), g: array([2], [5, 7]) });
    expect(result.toX.values).toEqual([140, 288]);
  });

  it("is undefined where nothing arrives", () => {
    const graph = new Graph();
    const [x, y] = [graph.input("x", "float32", [2]), graph.input("y", "float32", [2])];
    expect(pullBack(new Map([[negate(x), x]]), [y])).toEqual([undefined]);
  });
});
