/**
 * The norm and AdamW as programs over several tensors at once. An elementwise operation of a GPU takes a few microseconds to
 * launch, whatever it computes, and AdamW has 14 of them; so tensors are joined, the operations run once over all of their
 * elements, and the results are cut apart: 21 launches for seven tensors, where each alone would take 14.
 */

import { sum } from "../graph/ops/broadcast.ts";
import { add, divide, multiply, squareRoot, subtract } from "../graph/ops/elementwise.ts";
import { concat, split } from "../graph/ops/join.ts";
import { Graph, type Tensor } from "../graph/tensor.ts";
import type { AdamWOptions } from "../optim/adamw.ts";
import type { ProgramGraph } from "./program.ts";

/** A kernel that joins so many reads them and writes one more: eight buffers, which every WebGPU adapter can bind. */
const MOST_TENSORS = 7;

/** Elements of joined tensors, of which the program holds a few copies: 256 MiB each. A larger tensor is not joined. */
const MOST_ELEMENTS = 2 ** 26;

/** Consecutive items whose tensors are joined; `elements`: how many the tensor of an item has. */
export function joinedGroups<T>(items: readonly T[], elements: (item: T) => number): T[][] {
  const groups: T[][] = [];
  let sum = 0;
  for (const item of items) {
    const own = elements(item);
    const group = groups.at(-1);
    if (group && group.length < MOST_TENSORS && sum + own <= MOST_ELEMENTS) {
      group.push(item);
      sum += own;
    } else {
      groups.push([item]);
      sum = own;
    }
  }
  return groups;
}

/** Inputs: `count` tensors, `a0` …, flat, and `total`, a scalar. Output `new total`: with the sum of their squares. */
export function squaresGraph(count: number): ProgramGraph {
  const graph = new Graph();
  const inputs = sizesOf(count).map((size, i) => graph.input(`a${i}`, "float32", [size]));
  const joined = concat(inputs, 0);
  const total = add(graph.input("total", "float32", []), sum(multiply(joined, joined)));
  return { graph, outputs: { [resultName("total")]: total } };
}

const sizesOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`);

/**
 * The numbers of a step, in which the scalars of `optim/adamw.ts` are joined: with s the scale of the gradient and c₁, c₂ the
 * bias corrections 1 / (1 − βᵗ), m ← β₁·m + rest1·g; v ← β₂·v + rest2·g²; w ← w − (rate·m / (√v + ε) + decay·w), where
 * rest1 = (1 − β₁)·s, rest2 = (1 − β₂)·s², rate = η·c₁ / √c₂, ε is divided by √c₂, and decay is η·λ.
 */
export function adamWNumbers(
  step: number,
  scale: number,
  { learningRate, beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): Readonly<Record<string, number>> {
  const [correction1, root2] = [1 / (1 - beta1 ** step), Math.sqrt(1 / (1 - beta2 ** step))];
  return {
    ...{ beta1, rest1: (1 - beta1) * scale, beta2, rest2: (1 - beta2) * scale * scale },
    ...{ epsilon: epsilon / root2, rate: (learningRate * correction1) / root2, decay: learningRate * weightDecay },
  };
}

/** Name of the input with one of the weights `w`, gradients `g` or moments `m`, `v`. */
export const adamWName = (kind: "w" | "g" | "m" | "v", index: number): string => `${kind}${index}`;

/** An output must not be named like an input. */
export const resultName = (name: string): string => `new ${name}`;

/** Inputs: of each of `count` tensors `adamWName`, flat, and the numbers as scalars (`decay` where they do). Outputs: `resultName` of w, m and v. */
export function adamWGraph(count: number, decays: boolean): ProgramGraph {
  const graph = new Graph();
  const sizes = sizesOf(count);
  const joined = (kind: "w" | "g" | "m" | "v"): Tensor =>
    concat(
      sizes.map((size, i) => graph.input(adamWName(kind, i), "float32", [size])),
      0,
    );
  const number = (name: string) => graph.input(name, "float32", []);
  const [w, g, m, v] = [joined("w"), joined("g"), joined("m"), joined("v")];
  const first = add(multiply(m, number("beta1")), multiply(g, number("rest1")));
  const second = add(multiply(v, number("beta2")), multiply(multiply(g, g), number("rest2")));
  const update = divide(multiply(first, number("rate")), add(squareRoot(second), number("epsilon")));
  const move = decays ? add(update, multiply(w, number("decay"))) : update;
  const results = { w: subtract(w, move), m: first, v: second };
  const outputs = Object.entries(results).flatMap(([kind, tensor]) =>
    split(tensor, 0, sizes).map((part, i) => [resultName(adamWName(kind as "w" | "m" | "v", i)), part] as const),
  );
  return { graph, outputs: Object.fromEntries(outputs) };
}
