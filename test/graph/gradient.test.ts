import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/errors.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { attention } from "../../src/graph/ops/attention.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import {
  add,
  clip,
  exponential,
  lessOrEqual,
  minimum,
  multiply,
  scale,
  stopGradient,
  subtract,
} from "../../src/graph/ops/elementwise.ts";
import { geglu } from "../../src/graph/ops/geglu.ts";
import { gatherRows } from "../../src/graph/ops/index.ts";
import { split } from "../../src/graph/ops/join.ts";
import { logSumExp, rmsNorm, softmax } from "../../src/graph/ops/normalize.ts";
import { swiglu } from "../../src/graph/ops/swiglu.ts";
import { Graph, nodesUpTo, type Operation, type Tensor } from "../../src/graph/tensor.ts";
import { array } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";

/** Values of dloss/dx at `values`, where `loss` is built from the input x. */
async function slope(values: readonly number[], loss: (x: Tensor) => Tensor): Promise<readonly number[]> {
  const graph = new Graph();
  const x = graph.input("x", "float32", [values.length]);
  const y = loss(x);
  const [gradient] = gradients(y, [x]);
  return (await evaluate(graph, { gradient: gradient!, y }, { x: array([values.length], values) })).gradient.values;
}

describe("gradients at the points where a function has none", () => {
  it("of clip: 1 at both bounds and between them, 0 outside", async () => {
    expect(await slope([-2, -1, -0.5, 0, 3, 4], (x) => sum(clip(x, -1, 3)))).toEqual([0, 1, 1, 1, 1, 0]);
  });

  it("of minimum: to the smaller, and to the first of equals", async () => {
    const graph = new Graph();
    const a = graph.input("a", "float32", [3]);
    const b = graph.input("b", "float32", [3]);
    const loss = sum(minimum(a, b));
    const [toA, toB] = gradients(loss, [a, b]) as [Tensor, Tensor];
    const feeds = { a: array([3], [1, 2, 5]), b: array([3], [3, 2, 4]) };
    const result = await evaluate(graph, { toA, toB, loss }, feeds);
    expect([result.toA.values, result.toB.values]).toEqual([
      [1, 1, 0],
      [0, 0, 1],
    ]);
  });

  it("of lessOrEqual and stopGradient: none flows", async () => {
    expect(await slope([1, 2], (x) => sum(multiply(x, lessOrEqual(x, x.graph.scalar(1)))))).toEqual([1, 0]);
    expect(await slope([3, 4], (x) => sum(multiply(x, stopGradient(x))))).toEqual([3, 4]);
  });
});

describe("gradients where numbers are extreme", () => {
  it("of softmax and logSumExp stay finite at logits of ±1000", async () => {
    const logits = [1000, -1000, 999, 0];
    expect((await slope(logits, (x) => sum(logSumExp(x)))).map((g) => g.toFixed(4))).toEqual([
      "0.7311",
      "0.0000",
      "0.2689",
      "0.0000",
    ]);
    for (const g of await slope(logits, (x) => sum(multiply(softmax(x), x)))) expect(g).not.toBeNaN();
  });

  it("of swiglu stay finite at gates of ±100", async () => {
    expect(await slope([100, -100], (x) => sum(swiglu(x, multiply(x.graph.scalar(2), add(x, scale(x, -1))))))).toEqual([
      0, 0,
    ]);
  });

  it("of geglu stay finite at gates of ±100", async () => {
    const slopes = await slope([100, -100], (x) => sum(geglu(x, x.graph.constant(Float32Array.of(2, 3), [2]))));
    expect(slopes.map((g) => Math.abs(g))).toEqual([2, 0]);
  });

  it("of rmsNorm at a row of zeros are gain/√ε", async () => {
    const [a, b] = await slope([0, 0], (x) => sum(rmsNorm(x, x.graph.constant(Float32Array.of(2, 3), [2]), 1e-4)));
    expect(a).toBeCloseTo(200, 2);
    expect(b).toBeCloseTo(300, 2);
  });

  it("of attention give a masked key exactly nothing", async () => {
    const graph = new Graph();
    const shape = [1, 1, 2, 3];
    const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, "float32", shape)) as [Tensor, Tensor, Tensor];
    const mask = graph.constant(Float32Array.of(0, -1e9, 0, -1e9), [2, 2]);
    const loss = sum(attention(q, k, v, mask, { repeats: 1, scale: 1 }));
    const [toK, toV] = gradients(loss, [k, v]) as [Tensor, Tensor];
    const values = array(shape, [1, 2, 3, 4, 5, 6]);
    const result = await evaluate(graph, { toK, toV, loss }, { q: values, k: values, v: values });
    expect([result.toK.values.slice(3), result.toV.values]).toEqual([
      [0, 0, 0],
      [2, 2, 2, 0, 0, 0],
    ]);
  });
});

describe("gradients through a graph", () => {
  it("add up over the paths of a diamond, also where one leg is long", async () => {
    // y = x² · eˣ + x: dy = 2x eˣ + x² eˣ + 1.
    const loss = (x: Tensor) => {
      const square = multiply(x, x);
      return sum(add(multiply(square, exponential(x)), x));
    };
    const [at0, at1] = await slope([0, 1], loss);
    expect(at0).toBeCloseTo(1, 6);
    expect(at1).toBeCloseTo(3 * Math.E + 1, 5);
  });

  it("add up over the outputs of one operation, used or not", async () => {
    const parts = (x: Tensor) => split(x, 0, [1, 2, 1]) as [Tensor, Tensor, Tensor];
    const loss = (x: Tensor) => {
      const [first, , last] = parts(x);
      return sum(multiply(first, last));
    };
    expect(await slope([2, 9, 9, 5], loss)).toEqual([5, 0, 0, 2]);
  });

  it("are taken with respect to a tensor in the middle, and to the loss itself", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const middle = exponential(x);
    const loss = sum(multiply(middle, middle));
    const [toMiddle, toLoss] = gradients(loss, [middle, loss]) as [Tensor, Tensor];
    const result = await evaluate(graph, { toMiddle, toLoss }, { x: array([2], [0, 1]) });
    expect(result.toMiddle.values[1]).toBeCloseTo(2 * Math.E, 5);
    expect(result.toLoss.values).toEqual([1]);
  });

  it("are undefined for what the loss does not depend on", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const unused = graph.input("unused", "float32", [2]);
    const after = exponential(x);
    const stopped = graph.input("stopped", "float32", [2]);
    const loss = sum(add(x, stopGradient(stopped)));
    const result = gradients(loss, [unused, x, after, stopped]);
    expect(result.map((gradient) => gradient !== undefined)).toEqual([false, true, false, false]);
  });

  it("make no node for operands that nobody asked about", () => {
    const graph = new Graph();
    const [x, y] = [graph.input("x", "float32", [2]), graph.input("y", "float32", [2])];
    const loss = sum(multiply(exponential(x), exponential(y)));
    const [toX] = gradients(loss, [x]) as [Tensor];
    const products = nodesUpTo(toX).filter(({ operation }) => operation.name === "multiply");
    expect(products).toHaveLength(2);
  });

  it("can be differentiated again: the curvature of x³ is 6x", async () => {
    const cube = (x: Tensor) => sum(multiply(multiply(x, x), x));
    expect(await slope([-1, 0.5, 2], (x) => sum(gradients(cube(x), [x])[0]!))).toEqual([-6, 3, 12]);
  });
});

describe("gradients that cannot be taken", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [3, 2]);
  const rows = graph.input("rows", "int64", [4]);

  it("through an operation without a gradient: GraphError with its name", () => {
    // The gradient of gatherRows is a scatter, which is differentiated no further.
    const [once] = gradients(sum(multiply(gatherRows(x, rows), gatherRows(x, rows))), [x]);
    expect(() => gradients(sum(once!), [x])).toThrow(new GraphError("scatterRows has no gradient"));
  });

  it("but such an operation is no obstacle where no gradient passes it", () => {
    const opaque: Operation = { name: "opaque", lower: (_, inputs) => inputs };
    const [aside] = graph.apply(opaque, [graph.input("z", "float32", [3, 2])], [x]);
    expect(gradients(sum(multiply(x, aside!)), [x])[0]!.shape).toEqual([3, 2]);
  });

  it("of what is not a float32 scalar: GraphError", () => {
    expect(() => gradients(x, [x])).toThrow("gradients are taken of a float32 scalar, not of float32 [3, 2]");
    expect(() => gradients(graph.input("count", "int64", []), [x])).toThrow(GraphError);
  });

  it("where an operation answers with another shape: GraphError with its name", () => {
    const wrong: Operation = { name: "wrong", lower: (_, inputs) => inputs, gradient: (_, [g]) => [sum(g!)] };
    const [y] = graph.apply(wrong, [x], [x]);
    expect(() => gradients(sum(subtract(y!, x)), [x])).toThrow(/wrong: its gradient has shape \[\]/);
  });
});
