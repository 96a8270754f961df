/** Cases of products with matrices that are held packed, in NF4 and in bfloat16. */

import { bfloat16Matmul } from "../../src/graph/ops/bfloat16.ts";
import { nf4Matmul } from "../../src/graph/ops/quantized.ts";
import { array, at, build, type NumberArray, randomArray, total } from "./arrays.ts";
import { float, type OperationCase, positive } from "./operation-case.ts";

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

export function packedCases(): OperationCase[] {
  // Columns that 4 divides, that only 2 divides, that are odd; the last block of the last two is not full.
  const nf4 = [nf4Case(5, 64, 91), nf4Case(7, 30, 94), nf4Case(9, 15, 97)];
  return [...nf4, bfloat16Case(5, 5), bfloat16Case(7, 3)];
}
