/** Cases of what layers are made of: normalisation, gates, log-probabilities, attention. */

import type { Dim } from "../../src/graph/dim.ts";
import { attention, rotaryEmbedding } from "../../src/graph/ops/attention.ts";
import { geglu } from "../../src/graph/ops/geglu.ts";
import { keepOnly } from "../../src/graph/ops/keep-only.ts";
import { logProbability } from "../../src/graph/ops/log-probability.ts";
import { logSumExp, rmsNorm, softmax } from "../../src/graph/ops/normalize.ts";
import { swiglu } from "../../src/graph/ops/swiglu.ts";
import { array, at, build, type NumberArray, total, zip } from "./arrays.ts";
import { float, indices, type OperationCase, positive, sigma } from "./operation-case.ts";

/** softmax of a list. */
function softmaxOf(scores: readonly number[]): number[] {
  const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const mass = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / mass);
}

const geluOf = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

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

export function normalizeCases(): OperationCase[] {
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
    {
      operation: "geglu",
      title: "of a matrix",
      operands: { gate: float([3, 5], 89, ["N", 5]), up: float([3, 5], 90, ["N", 5]) },
      apply: ({ gate, up }) => geglu(gate!, up!),
      reference: ({ gate, up }) => zip([3, 5], (g, u) => geluOf(g) * u, gate!, up!),
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

export function attentionCases(): OperationCase[] {
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
