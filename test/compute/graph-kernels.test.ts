import { describe, expect, it } from "vitest";
import type { Device, DeviceTensor, Kernels } from "../../src/compute/device.ts";
import { read, tensorOf } from "../../src/compute/host-memory.ts";
import { Random } from "../../src/random.ts";
import { device as cpu } from "../graph/evaluate.ts";
import { OpaqueDevice } from "./opaque-device.ts";

const OPTIONS = { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

/** What a device's kernels make of the same numbers. */
async function outcome(device: Device, kernels: Kernels) {
  const random = new Random(5, "kernels");
  const tensor = (dims: readonly number[]) => {
    const values = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.normal());
    return tensorOf(device, "float32", dims, values);
  };
  const [w, g, other] = [tensor([3, 5]), tensor([3, 5]), tensor([3, 5])];
  const gain = { w: tensor([5]), g: tensor([5]) };
  const moments = () => device.allocate("float32", [3, 5]);
  const parameters = [
    { values: w, gradient: g, firstMoment: moments(), secondMoment: moments(), decays: true },
    {
      ...{ values: gain.w, gradient: gain.g, decays: false },
      firstMoment: device.allocate("float32", [5]),
      secondMoment: device.allocate("float32", [5]),
    },
  ];
  const { norm, others } = await kernels.norm([g, gain.g], [gain.g, w]);
  const beside = others.map((numbers) => Float32Array.from(numbers));
  // More than one program joins.
  const many = Array.from({ length: 17 }, (_, i) => tensor([i + 1]));
  const read17 = (await kernels.readAll(many)).map((numbers) => Float32Array.from(numbers));
  for (const step of [1, 2, 3]) await kernels.adamW(parameters, step, 0.5, OPTIONS);
  await kernels.add([g, gain.g], [other, gain.w]);
  await kernels.mix([other], [w], 0.25);
  const requests = [0, 2].map((row) => {
    return { row, u: 0.6, options: { temperature: 0.8, topP: 0.9, topK: 3 }, excluded: [1], topLogprobs: 2 };
  });
  const draws = await kernels.draw(w, requests);
  const whole = [0, 1, 2].map((row) => {
    const options = { temperature: row === 1 ? 0 : 0.7 + row, topP: 1, topK: 0 };
    return { row, u: 0.3 + row / 5, options, excluded: [], topLogprobs: 0 };
  });
  const wholeDraws = await kernels.draw(w, whole);
  const all: DeviceTensor<"float32">[] = [w, g, other, gain.w, gain.g];
  return { norm, beside, read17, draws, wholeDraws, values: await Promise.all(all.map((one) => read(device, one))) };
}

describe("kernels that are programs", () => {
  it("compute what the CPU's loops do", async () => {
    const device = new OpaqueDevice(1);
    const expected = await outcome(cpu, cpu.kernels);
    const found = await outcome(device, device.kernels);
    expect(found.norm).toBeCloseTo(expected.norm, 5);
    expect(found.beside).toEqual(expected.beside);
    expect(found.read17).toEqual(expected.read17);
    expect(found.read17.map(({ length }) => length)).toEqual(Array.from({ length: 17 }, (_, i) => i + 1));
    expected.values.forEach((values, i) => {
      values.forEach((value, k) => {
        expect(found.values[i]![k]).toBeCloseTo(value, 5);
      });
    });
    expect(found.draws.map(({ token }) => token)).toEqual(expected.draws.map(({ token }) => token));
    expect(found.wholeDraws.map(({ token }) => token)).toEqual(expected.wholeDraws.map(({ token }) => token));
    for (const [i, { logprob }] of expected.wholeDraws.entries()) {
      expect(found.wholeDraws[i]!.logprob).toBeCloseTo(logprob, 5);
    }
    expect(found.draws[0]!.top).toHaveLength(2);
  });
});
