import { expect, it } from "vitest";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { multiply } from "../../src/graph/ops/elementwise.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { nf4Matmul } from "../../src/graph/ops/quantized.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { nf4Lengths, quantizeNf4 } from "../../src/model/quantization.ts";
import { dequantizeNf4 } from "../model/dequantize-nf4.ts";
import { randomArray } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";

it("a packed product, and its gradient, are those of the matrix unpacked", async () => {
  const [N, rows, columns] = [3, 24, 128];
  const lengths = nf4Lengths(rows * columns);
  const packed = { codes: new Uint8Array(lengths.codes), scales: new Float32Array(lengths.scales) };
  quantizeNf4(Float32Array.from(randomArray([rows, columns], 1).values), packed);
  const unpacked = new Float32Array(rows * columns);
  dequantizeNf4(packed, unpacked);

  const graph = new Graph();
  const x = graph.input("x", "float32", [N, columns]);
  const upstream = graph.input("upstream", "float32", [N, rows]);
  const codes = graph.input("codes", "uint8", [lengths.codes]);
  const scales = graph.input("scales", "float32", [lengths.scales]);
  const y = nf4Matmul(x, { codes, scales, rows, columns });
  const expected = matmul(x, graph.input("w", "float32", [rows, columns]), { transposeB: true });
  const gradientOf = (product: typeof y) => gradients(sum(multiply(product, upstream)), [x])[0]!;
  const found = await evaluate(
    graph,
    { y, expected, toX: gradientOf(y), expectedToX: gradientOf(expected) },
    {
      x: randomArray([N, columns], 2),
      upstream: randomArray([N, rows], 3),
      codes: { dims: [lengths.codes], values: [...packed.codes] },
      scales: { dims: [lengths.scales], values: [...packed.scales] },
      w: { dims: [rows, columns], values: [...unpacked] },
    },
  );
  for (const [ours, theirs] of [
    [found.y, found.expected],
    [found.toX, found.expectedToX],
  ] as const) {
    ours.values.forEach((value, i) => {
      expect(value).toBeCloseTo(theirs.values[i]!, 4);
    });
  }
});
