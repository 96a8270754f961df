/** Runs small graphs on arrays: what the tests of operations share. */

import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device, DeviceTensor, HostArrays, StoredDType } from "../../src/compute/device.ts";
import { compile, type PreparedCall } from "../../src/compute/program.ts";
import { type LoweringTarget, ONNX_RUNTIME_CPU } from "../../src/graph/target.ts";
import type { Graph, Tensor } from "../../src/graph/tensor.ts";
import type { DType } from "../../src/graph/tensor-type.ts";
import type { NumberArray } from "./arrays.ts";

/** The device of every graph and compute test; one thread keeps the machine for the other workers. */
export const device = CpuDevice.open(1);

/** The memory of a tensor. */
export function dataOf<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] {
  return device.hostMemory(tensor);
}

/** An output of a call as plain numbers. */
export function numbersOf(call: PreparedCall, name: string): number[] {
  return Array.from(dataOf(call.results.get(name)!) as ArrayLike<number | bigint>, Number);
}

/** A tensor with these values. */
export function feed({ dims, values }: NumberArray, dtype: Exclude<DType, "bool"> = "float32"): DeviceTensor {
  const tensor = device.allocate(dtype, dims);
  const data = dataOf<StoredDType>(tensor);
  values.forEach((value, i) => {
    data[i] = dtype === "int64" ? BigInt(value) : value;
  });
  return tensor;
}

/** The device with the lowering of another one. */
export function loweringFor(target: LoweringTarget): Device {
  return {
    name: device.name,
    kernels: device.kernels,
    target,
    allocate: (dtype, dims) => device.allocate(dtype, dims),
    view: (tensor, dims) => device.view(tensor, dims),
    hostMemory: (tensor) => device.hostMemory(tensor),
    upload: (tensor, values) => device.upload(tensor, values),
    download: (tensor, values) => device.download(tensor, values),
    copy: (copy) => device.copy(copy),
    load: (lowered) => device.load(lowered),
  };
}

/** Compiles the outputs, runs once, and returns them as plain numbers. */
export async function evaluate<Name extends string>(
  graph: Graph,
  outputs: Readonly<Record<Name, Tensor>>,
  feeds: Readonly<Record<string, NumberArray>> = {},
  target: LoweringTarget = ONNX_RUNTIME_CPU,
): Promise<Record<Name, NumberArray>> {
  const program = await compile(loweringFor(target), graph, outputs);
  const tensors = new Map(
    program.inputs.map(({ name, dtype }) => {
      const given = feeds[name];
      if (!given || dtype === "bool") throw new Error(`the test feeds no ${name}`);
      return [name, feed(given, dtype)];
    }),
  );
  const call = program.prepare(tensors);
  try {
    await call.run();
    const results = [...call.results].map(([name, { dims }]) => [name, { dims, values: numbersOf(call, name) }]);
    return Object.fromEntries(results);
  } finally {
    call.dispose();
    for (const tensor of tensors.values()) tensor.dispose();
    program.dispose();
  }
}

/** The largest |actual − expected| / max(1, |expected|); Infinity where the dimensions differ. */
export function difference(actual: NumberArray, expected: NumberArray): number {
  if (actual.dims.join() !== expected.dims.join()) return Number.POSITIVE_INFINITY;
  return Math.max(
    0,
    ...expected.values.map((value, i) => {
      const gap = Math.abs(actual.values[i]! - value) / Math.max(1, Math.abs(value));
      return Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
    }),
  );
}
