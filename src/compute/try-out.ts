/** A first computation on a device: a driver may be there and not compute. */

import { RuntimeFailure } from "../errors.ts";
import { type LoweredGraph, lowerToOnnx } from "../graph/onnx.ts";
import { cast } from "../graph/ops/cast.ts";
import { add, multiply } from "../graph/ops/elementwise.ts";
import type { LoweringTarget } from "../graph/target.ts";
import { Graph } from "../graph/tensor.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import type { Device } from "./device.ts";

/** The last one has no number of 16 bits. */
const TRIED = Float32Array.of(1, -2, 3, 1 + 2 ** -12);

/** The program that is tried, y = x² + x of x [n], computed in `dtype`. */
export function triedProgram(target: LoweringTarget, dtype: FloatDType = "float32"): LoweredGraph {
  const graph = new Graph();
  const input = graph.input("x", "float32", ["n"]);
  const x = dtype === "float32" ? input : cast(input, dtype);
  const y = add(multiply(x, x), x);
  return lowerToOnnx(graph, { y: dtype === "float32" ? y : cast(y, "float32") }, target);
}

/** Its results at 1, −2, 3 and 1 + 2⁻¹². */
export async function triedResults(device: Device, dtype: FloatDType = "float32"): Promise<Float32Array> {
  const session = await device.load(triedProgram(device.target, dtype));
  const [input, output] = [device.allocate("float32", [TRIED.length]), device.allocate("float32", [TRIED.length])];
  try {
    device.upload(input, TRIED);
    await session.bind([input], [output])();
    const result = new Float32Array(TRIED.length);
    await device.download(output, result);
    return result;
  } finally {
    for (const one of [input, output, session]) one.dispose();
  }
}

/** Throws RuntimeFailure where a device does not compute what it should. */
export async function requireComputes(device: Device): Promise<void> {
  const found = (await triedResults(device)).slice(0, 3);
  if (found.join() !== "2,2,12") throw new RuntimeFailure(`x² + x of 1, −2, 3 is ${found.join(", ")} there`);
}
