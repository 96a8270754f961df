/** Runs small graphs on arrays: what the tests of operations share. */

import { type DeviceTensor, Runtime } from "../../src/compute/runtime.ts";
import type { DType, Graph, Tensor } from "../../src/graph/tensor.ts";
import type { NumberArray } from "./arrays.ts";

/** The runtime of every graph and runtime test; one thread keeps the machine for the other workers. */
export const runtime = Runtime.open(1);

/** A tensor with these values. */
export function feed({ dims, values }: NumberArray, dtype: Exclude<DType, "bool"> = "float32"): DeviceTensor {
  const tensor = runtime.zeros(dtype, dims);
  values.forEach((value, i) => {
    tensor.data[i] = dtype === "int64" ? BigInt(value) : value;
  });
  return tensor;
}

/** Compiles the outputs, runs once, and returns them as plain numbers. */
export async function evaluate<Name extends string>(
  graph: Graph,
  outputs: Readonly<Record<Name, Tensor>>,
  feeds: Readonly<Record<string, NumberArray>> = {},
): Promise<Record<Name, NumberArray>> {
  const program = runtime.compile(graph, outputs);
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
    const results = [...call.results].map(([name, { dims, data }]) => [
      name,
      { dims, values: Array.from(data as ArrayLike<number | bigint>, Number) },
    ]);
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
