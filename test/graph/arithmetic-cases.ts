/** Cases of arithmetic: elementwise operations and matrix products. */

import * as elementwise from "../../src/graph/ops/elementwise.ts";
import { tanh } from "../../src/graph/ops/geglu.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { sigmoid } from "../../src/graph/ops/swiglu.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { at, build, total, zip } from "./arrays.ts";
import { float, type Operand, type OperationCase, positive, sigma } from "./operation-case.ts";

export function unaryCases(): OperationCase[] {
  const cases: [string, (x: Tensor) => Tensor, (x: number) => number, Operand][] = [
    ["negate", elementwise.negate, (x) => -x, float([3, 5], 1)],
    ["exponential", elementwise.exponential, Math.exp, float([7], 2, ["N"])],
    ["squareRoot", elementwise.squareRoot, Math.sqrt, positive([4, 3], 8)],
    ["logarithm", elementwise.logarithm, Math.log, positive([2, 1, 3], 3)],
    ["scale", (x) => elementwise.scale(x, -2.5), (x) => -2.5 * x, float([5, 2], 4)],
    ["tanh", tanh, Math.tanh, float([2, 4], 7, ["N", 4])],
    ["sigmoid", sigmoid, sigma, float([3, 3], 5, ["N", 3])],
    ["clip", (x) => elementwise.clip(x, -0.5, 0.8), (x) => Math.min(Math.max(x, -0.5), 0.8), float([23], 6)],
  ];
  return cases.map(([operation, f, reference, x]) => ({
    operation,
    title: "elementwise",
    operands: { x },
    apply: ({ x: operand }) => f(operand!),
    reference: ({ x: values }) => zip(values!.dims, reference, values!),
  }));
}

export function binaryCases(): OperationCase[] {
  const operations: [string, (a: Tensor, b: Tensor) => Tensor, (a: number, b: number) => number][] = [
    ["add", elementwise.add, (a, b) => a + b],
    ["subtract", elementwise.subtract, (a, b) => a - b],
    ["multiply", elementwise.multiply, (a, b) => a * b],
    ["divide", elementwise.divide, (a, b) => a / b],
  ];
  const shapes: [string, readonly number[], readonly number[], readonly number[]][] = [
    ["equal shapes", [3, 5], [3, 5], [3, 5]],
    ["b is a scalar", [3, 5], [], [3, 5]],
    ["a is a scalar", [], [2, 3], [2, 3]],
    ["b is a row", [2, 3, 5], [5], [2, 3, 5]],
    ["both broadcast, along different axes", [3, 1, 5], [7, 1], [3, 7, 5]],
    ["an axis of size 1 in both", [4, 1], [1, 1], [4, 1]],
  ];
  const cases = operations.flatMap(([operation, apply, reference]) =>
    shapes.map(([title, dimsA, dimsB, dims], i): OperationCase => {
      return {
        operation,
        title,
        operands: { a: float(dimsA, 10 + i), b: positive(dimsB, 20 + i) },
        apply: ({ a, b }) => apply(a!, b!),
        reference: ({ a, b }) => zip(dims, reference, a!, b!),
      };
    }),
  );
  cases.push({
    operation: "multiply",
    title: "a named axis broadcast against one of size 1",
    operands: { a: float([5, 3], 31, ["N", 3]), b: float([5, 1], 32, ["N", 1]) },
    apply: ({ a, b }) => elementwise.multiply(a!, b!),
    reference: ({ a, b }) => zip([5, 3], (x, y) => x * y, a!, b!),
  });
  cases.push({
    operation: "multiply",
    title: "a tensor with itself",
    operands: { a: float([4, 3], 33) },
    apply: ({ a }) => elementwise.multiply(a!, a!),
    reference: ({ a }) => zip([4, 3], (x) => x * x, a!),
  });
  cases.push({
    operation: "minimum",
    title: "of one shape",
    operands: { a: float([4, 5], 34), b: float([4, 5], 35) },
    apply: ({ a, b }) => elementwise.minimum(a!, b!),
    reference: ({ a, b }) => zip([4, 5], Math.min, a!, b!),
  });
  return cases;
}

export function matmulCases(): OperationCase[] {
  const flags = [false, true];
  const withBias: OperationCase = {
    operation: "matmul",
    title: "matrices, with a bias that the scale does not touch",
    operands: { a: float([4, 3], 43, ["N", 3]), b: float([2, 3], 44), bias: float([2], 45) },
    apply: ({ a, b, bias }) => matmul(a!, b!, { transposeB: true, scale: 0.37, bias: bias! }),
    reference: ({ a, b, bias }) =>
      build([4, 2], ([n, m]) => at(bias!, [m!]) + 0.37 * total(3, (k) => at(a!, [n!, k]) * at(b!, [m!, k]))),
  };
  const products = flags.flatMap((transposeA) =>
    flags.flatMap((transposeB) =>
      [1, 0.37].flatMap((scale) =>
        [[], [2, 3]].map((batch): OperationCase => {
          const [M, K, N] = [3, 5, 2];
          const dimsA = transposeA ? [K, M] : [M, K];
          const dimsB = transposeB ? [N, K] : [K, N];
          const names = batch.length > 0 ? ["B", 3] : [];
          return {
            operation: "matmul",
            title: `${batch.length > 0 ? "a batch" : "matrices"}, transposes ${transposeA} ${transposeB}, scale ${scale}`,
            operands: {
              a: float([...batch, ...dimsA], 41, [...names, ...dimsA.map((size) => (size === M ? "M" : size))]),
              b: float([...batch, ...dimsB], 42, [...names, ...dimsB]),
            },
            apply: ({ a, b }) => matmul(a!, b!, { transposeA, transposeB, scale }),
            reference: ({ a, b }) =>
              build([...batch, M, N], (index) => {
                const lead = index.slice(0, -2);
                const [m, n] = index.slice(-2) as [number, number];
                const product = (k: number) =>
                  at(a!, [...lead, ...(transposeA ? [k, m] : [m, k])]) *
                  at(b!, [...lead, ...(transposeB ? [n, k] : [k, n])]);
                return scale * total(K, product);
              }),
          };
        }),
      ),
    ),
  );
  return [...products, withBias];
}
