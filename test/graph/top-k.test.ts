import { expect, it } from "vitest";
import { topK } from "../../src/graph/ops/index.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { randomArray } from "./arrays.ts";
import { feed, runtime } from "./evaluate.ts";

it("topK gives the largest values of each row and their places, equals by place", async () => {
  const graph = new Graph();
  const { values, indices } = topK(graph.input("x", "float32", ["N", 7]), "A");
  const program = runtime.compile(graph, { values, indices, given: graph.input("size", "float32", ["A"]) });
  const [N, A] = [3, 4];
  const x = feed(randomArray([N, 7], 5));
  const numbers = x.data as Float32Array;
  numbers.set([2, 1, 2, 1, 2, 1, 1]);
  const size = runtime.zeros("float32", [A]);
  const call = program.prepare(
    new Map([
      ["x", x],
      ["size", size],
    ]),
  );
  await call.run();
  for (let row = 0; row < N; row++) {
    const own = [...numbers.subarray(row * 7, (row + 1) * 7)];
    const order = [...own.keys()].sort((a, b) => own[b]! - own[a]! || a - b).slice(0, A);
    const found = (name: string) => Array.from(call.results.get(name)!.data, Number).slice(row * A, (row + 1) * A);
    expect(found("indices")).toEqual(order);
    expect(found("values")).toEqual(order.map((place) => own[place]));
  }
  call.dispose();
  program.dispose();
  x.dispose();
  size.dispose();
});
