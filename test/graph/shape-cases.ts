/** Cases of operations that move values about: shapes, sums, joins, indices. */

import { expand, sum } from "../../src/graph/ops/broadcast.ts";
import * as elementwise from "../../src/graph/ops/elementwise.ts";
import { gatherRows, pickLast, repeatRows } from "../../src/graph/ops/index.ts";
import { concat, split } from "../../src/graph/ops/join.ts";
import { reshape, transpose } from "../../src/graph/ops/shape.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { array, at, build, total, zip } from "./arrays.ts";
import { float, indices, type OperationCase } from "./operation-case.ts";

export function shapeCases(): OperationCase[] {
  return [
    {
      operation: "reshape",
      title: "with a named size, split and joined",
      operands: { x: float([6, 5], 51, ["2*N", 5]), n: { ...float([3], 52, ["N"]), differentiable: false } },
      // `n` binds N, which the polynomial 2·N alone does not.
      apply: ({ x, n }) => elementwise.multiply(reshape(x!, ["N", 10]), reshape(n!, ["N", 1])),
      reference: ({ x, n }) => build([3, 10], ([i, j]) => x!.values[i! * 10 + j!]! * n!.values[i!]!),
    },
    {
      operation: "reshape",
      title: "of a reshape, back to the first shape and to a third",
      operands: { x: float([6, 5], 57) },
      apply: ({ x }) => {
        const once = reshape(x!, [3, 10]);
        return elementwise.multiply(reshape(reshape(once, [6, 5]), [5, 6]), reshape(once, [5, 6]));
      },
      reference: ({ x }) => build([5, 6], ([i, j]) => x!.values[i! * 6 + j!]! ** 2),
    },
    {
      operation: "transpose",
      title: "of four axes, a permutation that is not its own inverse",
      operands: { x: float([2, 3, 5, 4], 53, ["N", 3, 5, 4]) },
      apply: ({ x }) => transpose(x!, [3, 0, 2, 1]),
      reference: ({ x }) => build([4, 2, 5, 3], ([a, b, c, d]) => at(x!, [b!, d!, c!, a!])),
    },
    {
      operation: "expand",
      title: "along a middle axis and a new leading one",
      operands: { x: float([3, 1, 2], 54) },
      apply: ({ x }) => expand(x!, [4, 3, 5, 2]),
      reference: ({ x }) => build([4, 3, 5, 2], (index) => at(x!, index)),
    },
    {
      operation: "expand",
      title: "a scalar to a named size",
      operands: { x: float([], 55), n: float([5], 56, ["N"]) },
      apply: ({ x, n }) => elementwise.multiply(expand(x!, ["N"]), n!),
      reference: ({ x, n }) => zip([5], (a, b) => a * b, x!, n!),
    },
    {
      operation: "sum",
      title: "over everything",
      operands: { x: float([3, 5], 57, ["N", 5]) },
      apply: ({ x }) => sum(x!),
      reference: ({ x }) => array([], [total(15, (i) => x!.values[i]!)]),
    },
    {
      operation: "sum",
      title: "over two of three axes, one counted from the end",
      operands: { x: float([2, 3, 5], 58) },
      apply: ({ x }) => sum(x!, [0, -1]),
      reference: ({ x }) => build([3], ([j]) => total(2, (i) => total(5, (k) => at(x!, [i, j!, k])))),
    },
    {
      operation: "sum",
      title: "of one axis that stays with size 1",
      operands: { x: float([2, 3, 5], 59) },
      apply: ({ x }) => sum(x!, [1], true),
      reference: ({ x }) => build([2, 1, 5], ([i, , k]) => total(3, (j) => at(x!, [i!, j, k!]))),
    },
    {
      operation: "concat",
      title: "three tensors on a middle axis, one of them twice",
      operands: { a: float([2, 1, 3], 60), b: float([2, 4, 3], 61, [2, "N", 3]) },
      apply: ({ a, b }) => concat([a!, b!, a!], 1),
      reference: ({ a, b }) =>
        build([2, 6, 3], ([i, j, k]) => (j === 0 || j === 5 ? at(a!, [i!, 0, k!]) : at(b!, [i!, j! - 1, k!]))),
    },
    {
      operation: "split",
      title: "in three unequal pieces of which one is not used",
      operands: { x: float([3, 7], 62) },
      apply: ({ x }) => {
        const [first, , last] = split(x!, 1, [2, 3, 2]) as [Tensor, Tensor, Tensor];
        return elementwise.multiply(first, last);
      },
      reference: ({ x }) => build([3, 2], ([i, j]) => at(x!, [i!, j!]) * at(x!, [i!, 5 + j!])),
    },
  ];
}

export function indexCases(): OperationCase[] {
  return [
    {
      operation: "gatherRows",
      title: "rows of a matrix, some often and some never",
      operands: { table: float([5, 3], 71), indices: indices([7], [4, 0, 4, 4, 2, 0, 4], ["N"]) },
      apply: ({ table, indices: rows }) => gatherRows(table!, rows!),
      reference: ({ table, indices: rows }) => build([7, 3], ([i, j]) => at(table!, [rows!.values[i!]!, j!])),
    },
    {
      operation: "gatherRows",
      title: "by a matrix of indices, from a table of three axes with named sizes",
      operands: { table: float([4, 2, 3], 72, ["R", 2, 3]), indices: indices([2, 3], [3, 3, 0, 1, 0, 3], ["S", 3]) },
      apply: ({ table, indices: rows }) => gatherRows(table!, rows!),
      reference: ({ table, indices: rows }) =>
        build([2, 3, 2, 3], ([a, b, i, j]) => at(table!, [at(rows!, [a!, b!]), i!, j!])),
    },
    {
      operation: "repeatRows",
      title: "rows of a table of three axes, shared by several indices, one by none",
      operands: { table: float([3, 2, 2], 74), indices: indices([4], [2, 0, 2, 2]) },
      apply: ({ table, indices: rows }) => {
        const membership = Float32Array.of(0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1);
        return repeatRows(table!, rows!, table!.graph.constant(membership, [4, 3]));
      },
      reference: ({ table, indices: rows }) => build([4, 2, 2], ([s, i, j]) => at(table!, [rows!.values[s!]!, i!, j!])),
    },
    {
      operation: "pickLast",
      title: "one element of each row",
      operands: { x: float([5, 4], 73, ["N", 4]), indices: indices([5], [3, 0, 0, 2, 3], ["N"]) },
      apply: ({ x, indices: columns }) => pickLast(x!, columns!),
      reference: ({ x, indices: columns }) => build([5], ([i]) => at(x!, [i!, columns!.values[i!]!])),
    },
  ];
}
