/** Which ONNX operations the graphs come to, lowered for each device: the rows of docs/gpu-operations.md. */

import type { ProgramGraph } from "../../src/compute/program.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import {
  type LoweringTarget,
  ONNX_RUNTIME_CPU,
  ONNX_RUNTIME_CUDA,
  ONNX_RUNTIME_WEBGPU,
} from "../../src/graph/target.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { EVERY_PROGRAM, isGiven } from "./every-program.ts";
import { OPERATION_CASES } from "./operation-cases.ts";

export const TARGETS: Readonly<Record<"cpu" | "webgpu" | "cuda", LoweringTarget>> = {
  cpu: ONNX_RUNTIME_CPU,
  webgpu: ONNX_RUNTIME_WEBGPU,
  cuda: ONNX_RUNTIME_CUDA,
};

/** The cases of single operations, with their gradients. */
function* operationGraphs(): Generator<ProgramGraph> {
  for (const { operands, apply } of OPERATION_CASES) {
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
    yield { graph, outputs: { y, ...Object.fromEntries(moved.map((name, i) => [`d ${name}`, slopes[i]!])) } };
  }
}

type DeviceOperations = ReadonlyMap<string, ReadonlySet<string>>;
let known: DeviceOperations | undefined;

/** The operations of all graphs, in alphabetical order, and for which devices lowering writes them. Lowered once. */
export function deviceOperations(): DeviceOperations {
  known ??= lowerEverything();
  return known;
}

function lowerEverything(): DeviceOperations {
  const found = new Map<string, Set<string>>();
  const lowerFor = ({ graph, outputs }: ProgramGraph, device: string, target: LoweringTarget) => {
    for (const type of lowerToOnnx(graph, outputs, target).operations.keys()) {
      found.set(type, (found.get(type) ?? new Set()).add(device));
    }
  };
  const targets = Object.entries(TARGETS);
  for (const graph of operationGraphs()) for (const [device, target] of targets) lowerFor(graph, device, target);
  for (const program of EVERY_PROGRAM) {
    const given = targets.filter(([, target]) => isGiven(program, target));
    const graph = program.graph();
    for (const [device, target] of given) lowerFor(graph, device, target);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
