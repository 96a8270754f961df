import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { exponential } from "../../src/graph/ops/elementwise.ts";
import { gatherRows } from "../../src/graph/ops/index.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { rmsNorm } from "../../src/graph/ops/normalize.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { BARE_TARGET } from "../compute/opaque-device.ts";
import { randomArray } from "./arrays.ts";
import { difference, evaluate } from "./evaluate.ts";

/** Products of batches, turned in every way and scaled, with their gradients. */
function products() {
  const graph = new Graph();
  const a = graph.input("a", "float32", ["N", 3, 4]);
  const b = graph.input("b", "float32", ["N", 4, 5]);
  const turned = graph.input("turned", "float32", ["N", 5, 4]);
  const results = [
    matmul(a, b, { scale: 0.5 }),
    matmul(a, turned, { transposeB: true }),
    matmul(b, a, { transposeA: true, transposeB: true, scale: -2 }),
  ];
  const loss = sum(exponential(matmul(results[0]!, results[1]!, { transposeB: true, scale: 0.01 })));
  const [toA, toB] = gradients(loss, [a, b]);
  const outputs = { x: results[0]!, y: results[1]!, z: results[2]!, toA: toA!, toB: toB! };
  const feeds = { a: randomArray([2, 3, 4], 1), b: randomArray([2, 4, 5], 2), turned: randomArray([2, 5, 4], 3) };
  return { graph, outputs, feeds };
}

/** A norm, and its gradient where it is wanted. */
function norm(wantsGradient: boolean) {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N", 6]);
  const gain = graph.input("gain", "float32", [6]);
  const y = rmsNorm(x, gain, 1e-5);
  const slopes = wantsGradient ? gradients(sum(exponential(y)), [x, gain]) : [];
  const outputs = { y, ...(wantsGradient && { toX: slopes[0]!, toGain: slopes[1]! }) };
  return { graph, outputs, feeds: { x: randomArray([4, 6], 4), gain: randomArray([6], 5) } };
}

/** Rows of an embedding that several tokens share, with its gradient. */
function embedding() {
  const graph = new Graph();
  const table = graph.input("table", "float32", [5, 3]);
  const ids = graph.input("ids", "int64", ["N"]);
  const [toTable] = gradients(sum(exponential(gatherRows(table, ids))), [table]);
  const feeds = { table: randomArray([5, 3], 6), ids: { dims: [7], values: [1, 4, 1, 0, 4, 1, 2] } };
  return { graph, outputs: { toTable: toTable! }, feeds };
}

describe("lowering for a device that lacks operations", () => {
  it.each([
    ["batched products", products, "FusedMatMul"],
    ["a norm with its gradient", () => norm(true), undefined],
    ["rows that are added up", embedding, "ScatterElements"],
    ["a norm alone", () => norm(false), "ReduceMean"],
  ] as const)("gives the same numbers: %s", async (_, build, absent) => {
    const whole = build();
    const bare = build();
    const own = await evaluate<string>(bare.graph, bare.outputs, bare.feeds, BARE_TARGET);
    const cpu = await evaluate<string>(whole.graph, whole.outputs, whole.feeds);
    for (const [name, values] of Object.entries(cpu)) expect(difference(own[name]!, values), name).toBeLessThan(1e-5);
    const text = Buffer.from(lowerToOnnx(bare.graph, bare.outputs, BARE_TARGET).model).toString("latin1");
    if (absent !== undefined) expect(text).not.toContain(absent);
  });
});
