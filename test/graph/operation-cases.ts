/**
 * One list of cases for all operations: how each is called, and what it computes in plain JavaScript. Forward values and
 * gradients are tested from the same list, so that no operation has the one without the other.
 *
 * Shapes are odd on purpose (sizes that no vector width divides, axes of size 1), and where a size is a name it is bound
 * only when the graph runs.
 */

import type { Dim } from "../../src/graph/dim.ts";
import { attention, rotaryEmbedding } from "../../src/graph/ops/attention.ts";
import { bfloat16Matmul } from "../../src/graph/ops/bfloat16.ts";
import { expand, sum } from "../../src/graph/ops/broadcast.ts";
import * as elementwise from "../../src/graph/ops/elementwise.ts";
import { gatherRows, pickLast, repeatRows } from "../../src/graph/ops/index.ts";
import { concat, split } from "../../src/graph/ops/join.ts";
import { keepOnly } from "../../src/graph/ops/keep-only.ts";
import { logProbability } from "../../src/graph/ops/log-probability.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { logSumExp, rmsNorm, softmax } from "../../src/graph/ops/normalize.ts";
import { nf4Matmul } from "../../src/graph/ops/quantized.ts";
import { reshape, transpose } from "../../src/graph/ops/shape.ts";
import { sigmoid, swiglu } from "../../src/graph/ops/swiglu.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { array, at, build, type NumberArray, randomArray, total, zip } from "./arrays.ts";

/** An operand: its values, its shape where that has names, and whether a gradient flows into it. */
export interface Operand {
  readonly values: NumberArray;
  readonly shape?: readonly Dim[];
  /** Of bfloat16 the values are the bits. */
  readonly dtype?: "int64" | "uint8" | "bfloat16";
  /** False: an index, or a table that is never trained. */
  readonly differentiable?: false;
}

type Operands<Value> = Readonly<Record<string, Value>>;

export interface OperationCase {
  /** The exported function under test. */
  readonly operation: string;
  readonly title: string;
  readonly operands: Operands<Operand>;
  readonly apply: (operands: Operands<Tensor>) => Tensor;
  readonly reference: (operands: Operands<NumberArray>) => NumberArray;
}

/** Operands that stand away from a function's kink or pole. */
const positive = (dims: readonly number[], seed: number): Operand => ({ values: randomArray(dims, seed, 0.4, 2) });
const float = (dims: readonly number[], seed: number, shape?: readonly Dim[]): Operand => ({
  values: randomArray(dims, seed),
  ...(shape && { shape }),
});
const indices = (dims: readonly number[], values: readonly number[], shape?: readonly Dim[]): Operand => ({
  values: array(dims, values),
  dtype: "int64",
  differentiable: false,
  ...(shape && { shape }),
});

const sigma = (x: number) => 1 / (1 + Math.exp(-x));

function unaryCases(): OperationCase[] {
  const cases: [string, (x: Tensor) => Tensor, (x: number) => number, Operand][] = [
    ["negate", elementwise.negate, (x) => -x, float([3, 5], 1)],
    ["exponential", elementwise.exponential, Math.exp, float([7], 2, ["N"])],
    ["logarithm", elementwise.logarithm, Math.log, positive([2, 1, 3], 3)],
    ["scale", (x) => elementwise.scale(x, -2.5), (x) => -2.5 * x, float([5, 2], 4)],
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

function binaryCases(): OperationCase[] {
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

function matmulCases(): OperationCase[] {
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

function shapeCases(): OperationCase[] {
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

function indexCases(): OperationCase[] {
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

/** QLoRA's table (arXiv:2305.14314, appendix E), written down here a second time. */
const NF4 = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
];

/** A matrix in NF4 whose codes and scales are random, and what it stands for. */
function nf4Case(rows: number, columns: number, seed: number): OperationCase {
  const elements = rows * columns;
  const bytes = randomArray([Math.ceil(elements / 2)], seed, 0, 256).values.map(Math.floor);
  const element = (scales: NumberArray, i: number) =>
    NF4[i % 2 === 0 ? bytes[i >> 1]! >> 4 : bytes[i >> 1]! & 15]! * scales.values[Math.floor(i / 64)]!;
  return {
    operation: "nf4Matmul",
    title: `a matrix [${rows}, ${columns}]`,
    operands: {
      x: float([3, columns], seed + 1, ["N", columns]),
      codes: { values: array([bytes.length], bytes), dtype: "uint8", differentiable: false },
      scales: { ...positive([Math.ceil(elements / 64)], seed + 2), differentiable: false },
    },
    apply: ({ x, codes, scales }) => nf4Matmul(x!, { codes: codes!, scales: scales!, rows, columns }),
    reference: ({ x, scales }) =>
      build([3, rows], ([n, m]) => total(columns, (k) => at(x!, [n!, k]) * element(scales!, m! * columns + k))),
  };
}

function bfloat16Case(rows: number, pieceRows: number): OperationCase {
  const columns = 6;
  const bits = randomArray([rows, columns], 47).values.map(
    (value) => new Uint32Array(Float32Array.of(value).buffer)[0]! >>> 16,
  );
  const element = (i: number) => new Float32Array(Uint32Array.of(bits[i]! << 16).buffer)[0]!;
  return {
    operation: "bfloat16Matmul",
    title: `a matrix of ${rows} rows, ${pieceRows} of them at once`,
    operands: {
      x: float([4, columns], 48, ["N", columns]),
      matrix: { values: array([rows, columns], bits), dtype: "bfloat16", differentiable: false },
    },
    apply: ({ x, matrix }) => bfloat16Matmul(x!, matrix!, pieceRows),
    reference: ({ x }) =>
      build([4, rows], ([n, m]) => total(columns, (k) => at(x!, [n!, k]) * element(m! * columns + k))),
  };
}

function packedCases(): OperationCase[] {
  // Columns that 4 divides, that only 2 divides, that are odd; the last block of the last two is not full.
  const nf4 = [nf4Case(5, 64, 91), nf4Case(7, 30, 94), nf4Case(9, 15, 97)];
  return [...nf4, bfloat16Case(5, 5), bfloat16Case(7, 3)];
}

/** softmax of a list. */
function softmaxOf(scores: readonly number[]): number[] {
  const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const mass = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / mass);
}

const rows = (x: NumberArray, width: number) =>
  Array.from({ length: x.values.length / width }, (_, i) => x.values.slice(i * width, (i + 1) * width));

function rmsNormOf(x: NumberArray, gain: NumberArray, epsilon: number): NumberArray {
  const width = gain.dims[0]!;
  const normalized = rows(x, width).flatMap((row) => {
    const mean = row.reduce((a, b) => a + b * b, 0) / width;
    return row.map((value, i) => (value / Math.sqrt(mean + epsilon)) * gain.values[i]!);
  });
  return array(x.dims, normalized);
}

function normalizeCases(): OperationCase[] {
  return [
    {
      operation: "softmax",
      title: "over the last axis",
      operands: { x: float([2, 3, 5], 81, ["N", 3, 5]) },
      apply: ({ x }) => softmax(x!),
      reference: ({ x }) => array([2, 3, 5], rows(x!, 5).flatMap(softmaxOf)),
    },
    {
      operation: "logProbability",
      title: "one element of each row",
      operands: { x: float([5, 4], 74, ["N", 4]), indices: indices([5], [3, 0, 0, 2, 3], ["N"]) },
      apply: ({ x, indices: columns }) => logProbability(x!, columns!),
      reference: ({ x, indices: columns }) =>
        array(
          [5],
          rows(x!, 4).map((row, i) => Math.log(softmaxOf(row)[columns!.values[i]!]!)),
        ),
    },
    {
      operation: "keepOnly",
      title: "behind a softmax, with a column that stands twice",
      operands: {
        x: float([3, 5], 75, ["N", 5]),
        kept: { ...indices([3, 3], [0, 2, 2, 4, 3, 1, 1, 1, 1]), shape: ["N", "W"] },
      },
      apply: ({ x, kept }) => softmax(keepOnly(x!, kept!)),
      reference: ({ x, kept }) =>
        array(
          [3, 5],
          rows(x!, 5).flatMap((row, i) => {
            const columns = new Set(rows(kept!, 3)[i]!);
            return softmaxOf(row.map((value, column) => (columns.has(column) ? value : -Infinity)));
          }),
        ),
    },
    {
      operation: "logSumExp",
      title: "over the last axis",
      operands: { x: float([3, 7], 82, ["N", 7]) },
      apply: ({ x }) => logSumExp(x!),
      reference: ({ x }) =>
        array(
          [3, 1],
          rows(x!, 7).map((row) => Math.log(row.reduce((a, b) => a + Math.exp(b), 0))),
        ),
    },
    {
      operation: "rmsNorm",
      title: "of a matrix",
      operands: { x: float([4, 7], 83, ["N", 7]), gain: positive([7], 84) },
      apply: ({ x, gain }) => rmsNorm(x!, gain!, 1e-5),
      reference: ({ x, gain }) => rmsNormOf(x!, gain!, 1e-5),
    },
    {
      operation: "rmsNorm",
      title: "over three axes, with an epsilon that counts",
      operands: { x: float([2, 3, 5], 85, ["N", 3, 5]), gain: positive([5], 86) },
      apply: ({ x, gain }) => rmsNorm(x!, gain!, 0.25),
      reference: ({ x, gain }) => rmsNormOf(x!, gain!, 0.25),
    },
    {
      operation: "swiglu",
      title: "of a matrix",
      operands: { gate: float([3, 5], 87, ["N", 5]), up: float([3, 5], 88, ["N", 5]) },
      apply: ({ gate, up }) => swiglu(gate!, up!),
      reference: ({ gate, up }) => zip([3, 5], (g, u) => g * sigma(g) * u, gate!, up!),
    },
  ];
}

const MASKED = -1e9;

function attentionCase(
  title: string,
  sizes: { B: number; kv: number; R: number; T: number; S: number; D: number },
  mask: { dims: readonly number[]; shape: readonly Dim[]; element: (index: number[]) => number },
): OperationCase {
  const { B, kv, R, T, S, D } = sizes;
  const scale = 0.6;
  const named = { q: ["B", kv, `${R}*T`, D], k: ["B", kv, "S", D] } as const;
  return {
    operation: "attention",
    title,
    operands: {
      q: float([B, kv, R * T, D], 91, R === 1 ? ["B", kv, "T", D] : named.q),
      k: float([B, kv, S, D], 92, named.k),
      v: float([B, kv, S, D], 93, named.k),
      mask: { values: build(mask.dims, mask.element), shape: mask.shape, differentiable: false },
    },
    apply: (x) => attention(x.q!, x.k!, x.v!, x.mask!, { repeats: R, scale }),
    reference: ({ q, k, v, mask: bias }) =>
      build([B, kv, R * T, D], ([b, head, row, d]) => {
        const [repeat, step] = [Math.floor(row! / T), row! % T];
        const scores = Array.from({ length: S }, (_, s) => {
          const dot = total(D, (i) => at(q!, [b!, head!, row!, i]) * at(k!, [b!, head!, s, i]));
          return scale * dot + at(bias!, [b!, head!, repeat, step, s]);
        });
        const weights = softmaxOf(scores);
        return total(S, (s) => weights[s]! * at(v!, [b!, head!, s, d!]));
      }),
  };
}

function attentionCases(): OperationCase[] {
  return [
    attentionCase(
      "causal, one query head per key-value head",
      { B: 2, kv: 1, R: 1, T: 3, S: 3, D: 5 },
      { dims: [3, 3], shape: ["T", "S"], element: ([t, s]) => (s! > t! ? MASKED : 0) },
    ),
    attentionCase(
      "grouped heads, more keys than queries, keys masked for one sequence",
      { B: 2, kv: 2, R: 3, T: 2, S: 5, D: 4 },
      {
        dims: [2, 1, 1, 2, 5],
        shape: ["B", 1, 1, "T", "S"],
        element: ([b, , , t, s]) => ((b === 1 && s! < 2) || s! > t! + 3 ? MASKED : 0),
      },
    ),
    {
      operation: "rotaryEmbedding",
      title: "two heads, positions out of order and repeated",
      operands: {
        x: float([4, 1, 12], 94, ["N", 1, 12]),
        positions: indices([4, 1], [2, 0, 4, 2], ["N", 1]),
        cos: { ...float([5, 3], 95, ["K", 3]), differentiable: false },
        sin: { ...float([5, 3], 96, ["K", 3]), differentiable: false },
      },
      apply: (x) => rotaryEmbedding(x.x!, x.positions!, x.cos!, x.sin!),
      reference: ({ x, positions, cos, sin }) =>
        build([4, 1, 12], ([n, , i]) => {
          const [start, within] = [Math.floor(i! / 6) * 6, i! % 6];
          const [position, pair] = [positions!.values[n!]!, within % 3];
          const [c, s] = [at(cos!, [position, pair]), at(sin!, [position, pair])];
          const [low, high] = [at(x!, [n!, 0, start + pair]), at(x!, [n!, 0, start + pair + 3])];
          return within < 3 ? low * c - high * s : high * c + low * s;
        }),
    },
  ];
}

/** Every differentiable operation, in the forms that matter. */
export const OPERATION_CASES: readonly OperationCase[] = [
  ...unaryCases(),
  ...binaryCases(),
  ...matmulCases(),
  ...shapeCases(),
  ...indexCases(),
  ...packedCases(),
  ...normalizeCases(),
  ...attentionCases(),
];

/** Operations without a gradient of their own, and why. */
export const NOT_DIFFERENTIABLE: Readonly<Record<string, string>> = {
  lessOrEqual: "a step function: its derivative is zero almost everywhere, and none flows",
  largest: "is only looked at",
  stopGradient: "exists to let no gradient through",
  cachedAttention: "samples only; training attends over whole sequences",
  after: "says only when something is computed",
  dropoutMask: "a mask depends on nothing that is trained",
  uniformNoise: "noise depends on nothing that is trained",
  widen: "what is held in bfloat16 is not trained",
};

/** Operations whose operands no case can make, and where they are tested. */
export const TESTED_APART: Readonly<Record<string, string>> = {
  nf4Matmul: "packed weights: quantized.test.ts",
};
