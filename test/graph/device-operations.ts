/** Which ONNX operations the graphs come to, lowered for each device: the rows of docs/gpu-operations.md. */

import { drawGraph } from "../../src/compute/draw-program.ts";
import { rowCopyGraph } from "../../src/compute/gpu/block-copy.ts";
import { adamWGraph, squaresGraph } from "../../src/compute/joined-programs.ts";
import { samplingGraph, sequenceGraph } from "../../src/engine/local/programs.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import {
  type LoweringTarget,
  ONNX_RUNTIME_CPU,
  ONNX_RUNTIME_CUDA,
  ONNX_RUNTIME_WEBGPU,
} from "../../src/graph/target.ts";
import { Graph, type Tensor } from "../../src/graph/tensor.ts";
import type { HalfDType } from "../../src/graph/tensor-type.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { OPERATION_CASES } from "./operation-cases.ts";

export const TARGETS: Readonly<Record<"cpu" | "webgpu" | "cuda", LoweringTarget>> = {
  cpu: ONNX_RUNTIME_CPU,
  webgpu: ONNX_RUNTIME_WEBGPU,
  cuda: ONNX_RUNTIME_CUDA,
};

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.04, temperature: 1 } as LossSpec;
const LORA = { rank: 2, alpha: 4, dropout: 0.1, rsLora: false, targets: ALL_LORA_TARGETS };

interface Built {
  readonly graph: Graph;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Every kind of graph: the cases of single operations with their gradients, the engine's programs, the device's own. */
function* graphs(): Generator<Built> {
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
  const config = presetConfig("tiny", buildTokenizer("countdown-compact"));
  yield samplingGraph(config);
  yield samplingGraph(config, {}, { scored: true });
  yield sequenceGraph(config, GRPO, { restricted: true, recompute: true });
  yield sequenceGraph(config, GRPO, { chunked: true });
  yield sequenceGraph(config, { ...CROSS_ENTROPY, embeddingNoise: { alpha: 5, seed: 1 } } as LossSpec);
  yield sequenceGraph(config, CROSS_ENTROPY, { form: { lora: LORA, quantization: "nf4" } });
  yield rowCopyGraph();
  yield adamWGraph(7, true);
  yield squaresGraph(7);
  yield drawGraph(1000);
}

/** Programs whose trunk computes in 16 bits, for devices that do. */
function* halfGraphs(dtype: HalfDType): Generator<Built> {
  const config = presetConfig("tiny", buildTokenizer("countdown-compact"));
  const form = { dtype };
  yield samplingGraph(config, form, { cacheDType: dtype });
  yield sequenceGraph(config, GRPO, { form, recompute: true });
  yield sequenceGraph(config, CROSS_ENTROPY, { form: { ...form, lora: LORA, quantization: "nf4" } });
  yield rowCopyGraph(dtype);
}

/** The operations of all graphs, in alphabetical order, and for which devices lowering writes them. */
export function deviceOperations(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { graph, outputs } of graphs()) {
    for (const [device, target] of Object.entries(TARGETS)) {
      for (const type of lowerToOnnx(graph, outputs, target).operations.keys()) {
        const devices = found.get(type) ?? new Set();
        found.set(type, devices.add(device));
      }
    }
  }
  for (const [device, target] of Object.entries(TARGETS)) {
    for (const dtype of target.computes) {
      for (const { graph, outputs } of halfGraphs(dtype)) {
        for (const type of lowerToOnnx(graph, outputs, target).operations.keys()) {
          found.set(type, (found.get(type) ?? new Set()).add(device));
        }
      }
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}
