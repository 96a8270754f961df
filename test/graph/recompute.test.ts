import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { exponential, multiply } from "../../src/graph/ops/elementwise.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { after } from "../../src/graph/ops/shape.ts";
import { recomputed } from "../../src/graph/recompute.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import { randomArray } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";

const FEEDS = {
  x: randomArray([5, 4], 1),
  w: randomArray([4, 4], 2, -0.5, 0.5),
  u: randomArray([4, 4], 3, -0.5, 0.5),
};

/** Two parts, of which the first has a weight of its own and both share one, and the gradients of all three inputs. */
function network(part: (x: Tensor, build: (x: Tensor) => Tensor) => Tensor): {
  graph: Graph;
  outputs: Record<string, Tensor>;
} {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N", 4]);
  const [w, u] = ["w", "u"].map((name) => graph.input(name, "float32", [4, 4])) as [Tensor, Tensor];
  const first = part(x, (input) => exponential(matmul(matmul(input, w), u)));
  const second = part(first, (input) => multiply(exponential(matmul(input, u)), input));
  const loss = sum(second);
  const [dx, dw, du] = gradients(loss, [x, w, u]) as [Tensor, Tensor, Tensor];
  return { graph, outputs: { loss, dx, dw, du } };
}

const plain = network((x, build) => build(x));
const again = network(recomputed);

describe("recomputed", () => {
  it("changes no number, of the result or of a gradient, also of a weight that two parts share", async () => {
    expect(await evaluate(again.graph, again.outputs, FEEDS)).toEqual(
      await evaluate(plain.graph, plain.outputs, FEEDS),
    );
  });

  it("computes each part once more for a gradient, and once where there is none", () => {
    const count = ({ graph, outputs }: typeof plain, names: readonly string[]) => {
      const chosen = Object.fromEntries(names.map((name) => [name, outputs[name]!]));
      const model = Buffer.from(lowerToOnnx(graph, chosen).model).toString("latin1");
      return (model.match(/Exp(?!and)/g) ?? []).length;
    };
    expect(count(plain, ["loss", "dx", "dw", "du"])).toBe(2);
    expect(count(again, ["loss"])).toBe(2);
    expect(count(again, ["loss", "dx", "dw", "du"])).toBe(4);
  });
});

describe("after", () => {
  it("is its operand, whatever the others hold", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 4]);
    const odd = graph.constant(Float32Array.of(Number.NaN, 1), [2]);
    const infinite = graph.constant(Float32Array.of(Number.POSITIVE_INFINITY), []);
    const { y } = await evaluate(graph, { y: after(x, odd, infinite) }, { x: FEEDS.x });
    expect(y).toEqual(FEEDS.x);
  });
});
