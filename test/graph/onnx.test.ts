import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { GraphError, RuntimeFailure } from "../../src/errors.ts";
import { dimMultiply } from "../../src/graph/dim.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { expand, sum } from "../../src/graph/ops/broadcast.ts";
import { add, clip, exponential, lessOrEqual, multiply, negate } from "../../src/graph/ops/elementwise.ts";
import { gatherRows } from "../../src/graph/ops/index.ts";
import { reshape } from "../../src/graph/ops/shape.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { array } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";

type Fields = Map<number, (Uint8Array | string | number | bigint)[]>;

/** The fields of a protobuf message by number: enough of a reader to look at what was written. */
function fieldsOf(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields: Fields = new Map();
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const value = wireType === 2 ? reader.bytes() : wireType === 0 ? reader.int64() : reader.fixed32();
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

/** Node types, initializers, inputs and outputs of a lowered model. */
function partsOf(model: Uint8Array) {
  const graph = fieldsOf(fieldsOf(model).get(7)![0] as Uint8Array);
  const messages = (field: number) => (graph.get(field) ?? []).map((bytes) => fieldsOf(bytes as Uint8Array));
  const text = (fields: Fields, field: number) => new TextDecoder().decode(fields.get(field)?.[0] as Uint8Array);
  return {
    nodes: messages(1).map((node) => text(node, 4)),
    constants: messages(5).map((constant) => text(constant, 8)),
    inputs: messages(11).map((input) => text(input, 1)),
    outputs: messages(12).map((output) => text(output, 1)),
    values: messages(13).map((value) => text(value, 1)),
    made: messages(1).flatMap((node) =>
      (node.get(2) ?? []).map((name) => new TextDecoder().decode(name as Uint8Array)),
    ),
  };
}

describe("lowering to ONNX", () => {
  it("names the versions of the format and both operator sets", () => {
    const graph = new Graph();
    const fields = fieldsOf(lowerToOnnx(graph, { y: negate(graph.input("x", "float32", ["N"])) }).model);
    expect(fields.get(1)!.map(Number)).toEqual([10]);
    const operators = fields.get(8)!.map((bytes) => fieldsOf(bytes as Uint8Array));
    expect(
      operators.map((set) => [new TextDecoder().decode(set.get(1)![0] as Uint8Array), Number(set.get(2)![0])]),
    ).toEqual([
      ["", 21],
      ["com.microsoft", 1],
    ]);
  });

  it("declares the type of every tensor between inputs and outputs, those of run-time shapes too", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 6]);
    const rows = exponential(reshape(exponential(x), [dimMultiply("N", 2), 3]));
    const { values, made } = partsOf(lowerToOnnx(graph, { y: negate(rows) }).model);
    expect(values).toHaveLength(4);
    expect(values).toEqual(made.slice(0, -1));
  });

  it("writes what the outputs depend on and nothing else", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N"]);
    const unused = graph.input("unused", "float32", ["N"]);
    exponential(add(x, unused));
    const lowered = lowerToOnnx(graph, { y: negate(x) });
    expect(lowered.inputs.map(({ name }) => name)).toEqual(["x"]);
    expect(partsOf(lowered.model)).toEqual({
      nodes: ["Neg", "Identity"],
      constants: [],
      inputs: ["x"],
      outputs: ["y"],
      values: [expect.any(String)],
      made: [expect.any(String), "y"],
    });
  });

  it("lowers a node once however often it is used", () => {
    const graph = new Graph();
    const y = exponential(graph.input("x", "float32", [2]));
    const { nodes } = partsOf(lowerToOnnx(graph, { a: add(y, y), b: multiply(y, y), c: y }).model);
    expect(nodes.filter((type) => type === "Exp")).toHaveLength(1);
  });

  it("shares equal constants, and tells apart what only looks equal", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    expect(graph.scalar(3)).toBe(graph.scalar(3));
    expect(graph.constant(Float32Array.of(3), [1])).not.toBe(graph.scalar(3));
    const outputs = {
      a: clip(multiply(x, graph.scalar(3)), 3, 7),
      b: add(clip(x, 3, 7), graph.constant(Float32Array.of(3), [1])),
    };
    // 3 as a scalar, 7 as a scalar, 3 as a list of one.
    expect(partsOf(lowerToOnnx(graph, outputs).model).constants).toHaveLength(3);
  });

  it("makes one input of each shape that is known only at run time, and constants of the others", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 6]);
    const outputs = {
      a: reshape(x, ["N", 2, 3]),
      b: negate(reshape(exponential(x), ["N", 2, 3])),
      c: reshape(x, ["6*N"]),
      d: expand(graph.scalar(1), [4, 2]),
    };
    const { shapeInputs, model } = lowerToOnnx(graph, outputs);
    expect(shapeInputs.map(({ dims }) => dims)).toEqual([["N", 2, 3], ["6*N"]]);
    expect(partsOf(model).inputs).toEqual(["x", ...shapeInputs.map(({ name }) => name)]);
  });

  it("lets one tensor be two outputs, and an input be an output", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const y = negate(x);
    const result = await evaluate(graph, { first: y, second: y, same: x }, { x: array([2], [1, -2]) });
    expect([result.first.values, result.second.values, result.same.values]).toEqual([
      [-1, 2],
      [-1, 2],
      [1, -2],
    ]);
  });

  it("runs with inputs that are named like anything", async () => {
    const graph = new Graph();
    const names = ["t0", "t1", "c0", "shape [N, 1]", "é 漢", "gradient layers.0.qkv"];
    const inputs = names.map((name) => graph.input(name, "float32", ["N"]));
    const y = inputs.map((x) => reshape(multiply(x, graph.scalar(2)), ["N", 1])).reduce(add);
    const feeds = Object.fromEntries(names.map((name, i) => [name, array([1], [10 ** i])]));
    expect((await evaluate(graph, { y }, feeds)).y.values).toEqual([222222]);
  });

  it("refuses an output that is named like an input: GraphError", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    expect(() => lowerToOnnx(graph, { x: negate(x) })).toThrow(GraphError);
  });

  it("refuses an operation that lowers to another number of outputs than it has: GraphError", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const [y] = graph.apply({ name: "half", lower: () => [] }, [x], [x]);
    expect(() => lowerToOnnx(graph, { y: y! })).toThrow("half lowers to 0 outputs of 1");
  });

  it("runs on empty tensors", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 3]);
    const rows = graph.input("rows", "int64", ["M"]);
    const outputs = { y: sum(exponential(gatherRows(x, rows)), [0]), z: lessOrEqual(x, x) };
    const feeds = { x: array([2, 3], [0, 0, 0, 0, 0, 0]), rows: array([0], []) };
    expect((await evaluate(graph, outputs, feeds)).y.values).toEqual([0, 0, 0]);
  });

  it("carries what the runtime says about an index out of range: RuntimeFailure", async () => {
    const graph = new Graph();
    const y = gatherRows(graph.input("x", "float32", [2, 3]), graph.input("rows", "int64", ["M"]));
    const feeds = { x: array([2, 3], [1, 2, 3, 4, 5, 6]), rows: array([1], [2]) };
    await expect(evaluate(graph, { y }, feeds)).rejects.toThrow(RuntimeFailure);
    await expect(evaluate(graph, { y }, feeds)).rejects.toThrow(/out of data bounds|out of range/i);
  });
});
