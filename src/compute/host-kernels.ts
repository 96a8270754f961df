/** Kernels of devices whose tensors lie in host memory: loops over it. */

import { toHalf } from "../float-formats.ts";
import { adamWStep, globalNorm } from "../optim/adamw.ts";
import type { Device, DeviceTensor, Kernels } from "./device.ts";
import { drawTokens } from "./draw-token.ts";
import { blockCount } from "./logit-row.ts";
import { RowSums, sumsFor } from "./row-sums.ts";

/** Some rows of a tensor, as one that must not outlive it. */
export type RowsOf = (tensor: DeviceTensor<"float32">, first: number, count: number) => DeviceTensor<"float32">;

/** The kernels of a device; all of its tensors are in host memory. */
export function hostKernels(device: Device, rowsOf: RowsOf): Kernels {
  const rowSums = new RowSums(device);
  const numbers = (tensor: DeviceTensor<"float32">): Float32Array => device.hostMemory(tensor)!;
  return {
    async add(sums, addends) {
      for (const [i, tensor] of sums.entries()) addInto(numbers(tensor), numbers(addends[i]!));
    },

    async mix(targets, others, share) {
      for (const [i, tensor] of targets.entries()) mixInto(numbers(tensor), numbers(others[i]!), share);
    },

    async round(sources, targets) {
      for (const [i, target] of targets.entries())
        toHalf(target.dtype)(numbers(sources[i]!), device.hostMemory(target)!);
    },

    async norm(tensors, others) {
      return {
        norm: globalNorm(tensors.map((tensor) => ({ gradient: numbers(tensor) }))),
        others: others.map(numbers),
      };
    },

    async readAll(tensors) {
      return tensors.map(numbers);
    },

    async adamW(parameters, step, gradientScale, options) {
      const inMemory = parameters.map(({ values, gradient, firstMoment, secondMoment, decays }) => ({
        values: numbers(values),
        gradient: numbers(gradient),
        firstMoment: numbers(firstMoment),
        secondMoment: numbers(secondMoment),
        decays,
      }));
      adamWStep(inMemory, step, gradientScale, options);
    },

    async draw(logits, requests) {
      const vocabSize = logits.dims[1]!;
      const values = numbers(logits);
      if (blockCount(vocabSize) === 1) return drawTokens(values, vocabSize, requests);
      // Of a batch of prompts one row is asked for at a time.
      const rows = requests.map(({ row }) => row);
      const first = Math.min(...rows);
      const part = rowsOf(logits, first, Math.max(...rows) - first + 1);
      try {
        return drawTokens(values, vocabSize, requests, await sumsFor(rowSums, part, first, requests));
      } finally {
        part.dispose();
      }
    },
  };
}

function addInto(sum: Float32Array, addend: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + addend[i]!;
}

function mixInto(own: Float32Array, other: Float32Array, share: number): void {
  for (let i = 0; i < own.length; i++) own[i] = (1 - share) * own[i]! + share * other[i]!;
}
