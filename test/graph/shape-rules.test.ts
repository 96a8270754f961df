import { describe, expect, it } from "vitest";
import { GraphError } from "../../src/errors.ts";
import { attention } from "../../src/graph/ops/attention.ts";
import { expand, sum } from "../../src/graph/ops/broadcast.ts";
import { add, clip, exponential, minimum } from "../../src/graph/ops/elementwise.ts";
import { geglu } from "../../src/graph/ops/geglu.ts";
import { gatherRows, pickLast } from "../../src/graph/ops/index.ts";
import { concat, split } from "../../src/graph/ops/join.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { rmsNorm, softmax } from "../../src/graph/ops/normalize.ts";
import { reshape, transpose } from "../../src/graph/ops/shape.ts";
import { swiglu } from "../../src/graph/ops/swiglu.ts";
import { Graph } from "../../src/graph/tensor.ts";

const graph = new Graph();
let count = 0;
const float = (...shape: (number | string)[]) => graph.input(`float ${count++}`, "float32", shape);
const long = (...shape: (number | string)[]) => graph.input(`long ${count++}`, "int64", shape);

describe("shape rules", () => {
  it("give the shape of the result, with names kept", () => {
    expect(add(float("N", 1, 3), float(5, 1)).shape).toEqual(["N", 5, 3]);
    expect(matmul(float("B", "T", 4), float("B", 7, 4), { transposeB: true }).shape).toEqual(["B", "T", 7]);
    expect(matmul(float(4, "T"), float(4, "S"), { transposeA: true }).shape).toEqual(["T", "S"]);
    expect(gatherRows(float(9, 2, 3), long("N", 4)).shape).toEqual(["N", 4, 2, 3]);
    expect(pickLast(float("N", 9), long("N")).shape).toEqual(["N"]);
    expect(concat([float("N", 3), float("M", 3), float(2, 3)], 0).shape).toEqual(["2+M+N", 3]);
    expect(split(float("M+N", 3), 0, ["N", "M"]).map(({ shape }) => shape)).toEqual([
      ["N", 3],
      ["M", 3],
    ]);
    expect(sum(float("N", 3, 4), [-1]).shape).toEqual(["N", 3]);
    expect(sum(float("N", 3, 4), [0, 2], true).shape).toEqual([1, 3, 1]);
    expect(sum(float("N", 3)).shape).toEqual([]);
    expect(transpose(float("N", 3, 4), [2, 0, 1]).shape).toEqual([4, "N", 3]);
    expect(rmsNorm(float("N", 2, 5), float(5), 1e-6).shape).toEqual(["N", 2, 5]);
  });

  it("do nothing where there is nothing to do", () => {
    const x = float("N", 3);
    expect(reshape(x, ["N", 3])).toBe(x);
    expect(expand(x, ["N", 3])).toBe(x);
    expect(concat([x], 1)).toBe(x);
    expect(split(x, 1, [3])).toEqual([x]);
    expect(sum(x, [])).toBe(x);
  });

  it.each([
    ["matmul, inner sizes differ", () => matmul(float(2, 3), float(4, 5))],
    ["matmul, the transposed fit but not these", () => matmul(float(2, 3), float(3, 5), { transposeB: true })],
    ["matmul, batches differ", () => matmul(float("B", 2, 3), float("C", 3, 4))],
    ["matmul, a bias of another width", () => matmul(float(2, 3), float(3, 4), { bias: float(3) })],
    ["matmul, a bias on a batch", () => matmul(float("B", 2, 3), float("B", 3, 4), { bias: float(4) })],
    ["matmul of a vector", () => matmul(float(3), float(3, 2))],
    ["reshape to another number of elements", () => reshape(float("N", 3), ["N", 4])],
    ["reshape that no size proves", () => reshape(float("N"), ["M"])],
    ["transpose with an axis twice", () => transpose(float(2, 3), [0, 0])],
    ["transpose with too few axes", () => transpose(float(2, 3), [0])],
    ["expand to a smaller shape", () => expand(float(2, 3), [3])],
    ["expand of a size that is not 1", () => expand(float(2, 3), [4, 3])],
    ["sum over an axis that is not there", () => sum(float(2, 3), [2])],
    ["concat of shapes that differ elsewhere", () => concat([float(2, 3), float(2, 4)], 0)],
    ["concat of dtypes", () => concat([float(2), long(2)], 0)],
    ["split that does not add up", () => split(float(2, 7), 1, [3, 3])],
    ["minimum of two shapes", () => minimum(float(2, 3), float(3))],
    ["geglu of two shapes", () => geglu(float(2, 3), float(2, 4))],
    ["swiglu of two shapes", () => swiglu(float(2, 3), float(2, 4))],
    ["rmsNorm with a gain of another width", () => rmsNorm(float(2, 3), float(4), 1e-6)],
    ["rmsNorm over a width known only at run time", () => rmsNorm(float(2, "H"), float("H"), 1e-6)],
    ["gatherRows by floats", () => gatherRows(float(4, 2), float(3))],
    ["pickLast by another number of rows", () => pickLast(float("N", 4), long("M"))],
    [
      "attention whose mask has other steps",
      () => attention(float(1, 2, 6, 4), float(1, 2, 5, 4), float(1, 2, 5, 4), float(4, 5), { repeats: 2, scale: 1 }),
    ],
    ["elementwise of shapes that do not broadcast", () => add(float(2), float(3))],
    ["elementwise of integers", () => exponential(long(3))],
    ["softmax of integers", () => softmax(long(3))],
    ["clip of integers", () => clip(long(3), 0, 1)],
    ["operands of two graphs", () => add(float(2), new Graph().input("x", "float32", [2]))],
    [
      "two inputs of one name",
      () => {
        graph.input("twice", "float32", []);
        graph.input("twice", "float32", []);
      },
    ],
  ] as const)("%s: GraphError", (_, act) => {
    expect(act).toThrow(GraphError);
  });

  it("name both shapes in the message", () => {
    expect(() => matmul(float("B", 3), float(4, 5), { transposeA: true })).toThrow(
      "matmul: [B, 3]ᵀ and [4, 5] do not fit",
    );
  });
});
