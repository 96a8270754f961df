import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { InferenceSession } from "onnxruntime-node";
import { expect, it } from "vitest";
import { samplingGraph } from "../../src/engine/local/programs.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { fewRowsLimit, fewRowsMatmul } from "../../src/graph/ops/few-rows.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { rowLimits, type WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { Random } from "../../src/random.ts";
import { MODELS } from "../engine/models.ts";
import { difference, evaluate } from "./evaluate.ts";

it("is the product with the transposed matrix, with a bias and without", async () => {
  const random = new Random(1, "few rows");
  const numbers = (...dims: number[]) => ({
    dims,
    values: Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.normal()),
  });
  for (const n of [1, 2, 5]) {
    const graph = new Graph();
    const [x, w, b] = [
      graph.input("x", "float32", ["n", 7]),
      graph.input("w", "float32", [11, 7]),
      graph.input("b", "float32", [11]),
    ];
    const results = await evaluate(
      graph,
      {
        few: fewRowsMatmul(x, w),
        plain: matmul(x, w, { transposeB: true }),
        fewWithBias: fewRowsMatmul(x, w, b),
        plainWithBias: matmul(x, w, { transposeB: true, bias: b }),
      },
      { x: numbers(n, 7), w: numbers(11, 7), b: numbers(11) },
    );
    expect(difference(results.few, results.plain)).toBeLessThan(1e-6);
    expect(difference(results.fewWithBias, results.plainWithBias)).toBeLessThan(1e-6);
  }
});

/** The nodes of an ONNX model: field 1 of its graph, which is field 7. */
function nodesOf(model: Uint8Array): { type: string; inputs: string[] }[] {
  const nodes: { type: string; inputs: string[] }[] = [];
  const each = (bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean) => {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wire] = reader.tag();
      if (!take(field, reader)) reader.skip(wire);
    }
  };
  each(model, (field, reader) => {
    if (field !== 7) return false;
    each(reader.bytes(), (ofGraph, inGraph) => {
      if (ofGraph !== 1) return false;
      const node = { type: "", inputs: [] as string[] };
      each(inGraph.bytes(), (ofNode, inNode) => {
        if (ofNode === 1) node.inputs.push(inNode.string());
        else if (ofNode === 4) node.type = inNode.string();
        else return false;
        return true;
      });
      nodes.push(node);
      return true;
    });
    return true;
  });
  return nodes;
}

it.each<[string, WeightForm]>([
  ["a whole model", {}],
  ["an adapter", { lora: { rank: 4, alpha: 8, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS } }],
])("stays as it is in ONNX Runtime's optimizer, in the sampling program of %s", async (_, form) => {
  const config = { ...MODELS["tied, query and key norms"], hiddenSize: 512, intermediateSize: 640, vocabSize: 5000 };
  const directory = await mkdtemp(join(tmpdir(), "aha-few-rows-"));
  try {
    const matrices = ["q", "k", "v", "gate", "up", "mlpDown"].flatMap((name) => [
      `layers.0.${name}`,
      `layers.1.${name}`,
    ]);
    expect(rowLimits(config, form)).toEqual([32, 64]);
    expect(rowLimits({ ...config, hiddenSize: 256, intermediateSize: 256 }, form)).toEqual([]);
    const cases: [mostRows: number, left: string[]][] = [
      [32, [...matrices, "embed"]],
      [64, matrices],
      [Number.POSITIVE_INFINITY, []],
    ];
    for (const [mostRows, left] of cases) {
      const { graph, outputs } = samplingGraph(config, form, { mostRows });
      const path = join(directory, `${mostRows}.onnx`);
      const { model } = lowerToOnnx(graph, outputs);
      await (await InferenceSession.create(model, { optimizedModelFilePath: path })).release();
      const products = nodesOf(await readFile(path)).filter(({ type }) => /^(Gemm|MatMul|FusedMatMul)$/.test(type));
      const found = products.filter(({ inputs }) => [...matrices, "embed"].includes(inputs[0]!));
      expect(found.map(({ inputs }) => inputs[0]!).sort()).toEqual([...left].sort());
      for (const { type } of found) expect(type).toMatch(/MatMul$/);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

it("is for two rows or more of a matrix of 512 columns or more", () => {
  expect(fewRowsLimit([576, 511])).toBe(0);
  expect(fewRowsLimit([576, 512])).toBe(64);
  expect(fewRowsLimit([49152, 576])).toBe(32);
  expect(fewRowsLimit(["V", 576])).toBe(0);
});
