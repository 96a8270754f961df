/** The kernels of the CPU device: loops over the tensors' own memory. */

import { adamWStep, globalNorm } from "../../optim/adamw.ts";
import type { DeviceTensor, Kernels } from "../device.ts";
import { drawTokens } from "../draw-token.ts";
import { cpuTensor } from "./cpu-tensor.ts";

const numbers = (tensor: DeviceTensor<"float32">): Float32Array => cpuTensor(tensor).data;

export const CPU_KERNELS: Kernels = {
  async add(sums, addends) {
    for (const [i, tensor] of sums.entries()) addInto(numbers(tensor), numbers(addends[i]!));
  },

  async mix(targets, others, share) {
    for (const [i, tensor] of targets.entries()) mixInto(numbers(tensor), numbers(others[i]!), share);
  },

  async norm(tensors) {
    return globalNorm(tensors.map((tensor) => ({ gradient: numbers(tensor) })));
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
    return drawTokens(numbers(logits), logits.dims[1]!, requests);
  },
};

function addInto(sum: Float32Array, addend: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + addend[i]!;
}

function mixInto(own: Float32Array, other: Float32Array, share: number): void {
  for (let i = 0; i < own.length; i++) own[i] = (1 - share) * own[i]! + share * other[i]!;
}
