/** Every operation and its gradient on WebGPU, beside plain JavaScript and the CPU. */

import { describe, expect, it } from "vitest";
import type { Device, DeviceTensor } from "../../src/compute/device.ts";
import { read } from "../../src/compute/host-memory.ts";
import { compile } from "../../src/compute/program.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { Graph } from "../../src/graph/tensor.ts";
import type { OperationCase } from "../graph/operation-case.ts";
import { OPERATION_CASES } from "../graph/operation-cases.ts";
import { cpu, gpu } from "./device.ts";

async function valuesOn(device: Device, { operands, apply }: OperationCase): Promise<Record<string, Float32Array>> {
  const graph = new Graph();
  const tensors = Object.fromEntries(
    Object.entries(operands).map(([name, { values, shape, dtype }]) => [
      name,
      graph.input(name, dtype ?? "float32", shape ?? values.dims),
    ]),
  );
  const y = apply(tensors);
  const moved = Object.keys(tensors).filter((name) => operands[name]!.differentiable !== false);
  const slopes = gradients(
    sum(y),
    moved.map((name) => tensors[name]!),
  );
  const outputs = { y, ...Object.fromEntries(moved.map((name, i) => [`d ${name}`, slopes[i]!])) };
  const program = await compile(device, graph, outputs);
  const feeds = new Map<string, DeviceTensor>(
    program.inputs.map(({ name, dtype }) => {
      const { dims, values } = operands[name]!.values;
      const tensor = device.allocate(dtype as "float32", dims);
      const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : arrayOf(dtype, values);
      device.upload(tensor, data as Float32Array);
      return [name, tensor];
    }),
  );
  const call = program.prepare(feeds);
  await call.run();
  const found: Record<string, Float32Array> = {};
  for (const [name, tensor] of call.results) {
    found[name] = Float32Array.from(await read(device, tensor as DeviceTensor<"float32">));
  }
  call.dispose();
  program.dispose();
  for (const tensor of feeds.values()) tensor.dispose();
  return found;
}

function arrayOf(dtype: string, values: readonly number[]) {
  switch (dtype) {
    case "int32":
      return Int32Array.from(values);
    case "uint8":
      return Uint8Array.from(values);
    case "bfloat16":
      return Uint16Array.from(values);
    default:
      return Float32Array.from(values);
  }
}

describe("operations on WebGPU", () => {
  it.each(OPERATION_CASES.map((c) => [`${c.operation}: ${c.title}`, c] as const))("%s", async (_, operationCase) => {
    const expected = await valuesOn(cpu, operationCase);
    const found = await valuesOn(gpu, operationCase);
    for (const [name, values] of Object.entries(expected)) {
      values.forEach((value, i) => {
        expect(Math.abs(found[name]![i]! - value) / Math.max(1, Math.abs(value)), `${name}[${i}]`).toBeLessThan(1e-5);
      });
    }
  });
});
