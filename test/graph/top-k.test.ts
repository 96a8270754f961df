import { expect, it } from "vitest";
import { topK } from "../../src/graph/ops/index.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { array, randomArray } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";

it("topK gives the largest values of each row and their places, equals by place", async () => {
  const graph = new Graph();
  const { values, indices } = topK(graph.input("x", "float32", ["N", 7]), "A");
  const x = randomArray([2, 7], 5);
  const rows = [[2, 1, 2, 1, 2, 1, 1], [...x.values.slice(0, 7)], [...x.values.slice(7)]].map((row) =>
    row.map(Math.fround),
  );
  const size = array([4], [0, 0, 0, 0]);
  const given = graph.input("size", "float32", ["A"]);
  const result = await evaluate(graph, { values, indices, given }, { x: array([3, 7], rows.flat()), size });
  for (const [n, row] of rows.entries()) {
    const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, 4);
    expect([...result.indices.values].slice(4 * n, 4 * n + 4)).toEqual(order);
    expect([...result.values.values].slice(4 * n, 4 * n + 4)).toEqual(order.map((place) => row[place]));
  }
});
