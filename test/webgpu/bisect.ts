/**
 * Every intermediate number of every program on WebGPU and on the CPU: which node is the first that differs.
 *
 * A node is at fault where its result differs and none of its operands does; what follows it differs too and is counted only.
 */

import type { Device, DeviceTensor } from "../../src/compute/device.ts";
import { read, tensorOf } from "../../src/compute/host-memory.ts";
import { compile, type ProgramGraph } from "../../src/compute/program.ts";
import { samplingGraph, sequenceGraph } from "../../src/engine/local/programs.ts";
import { evaluateDim, isSizeName, showShape } from "../../src/graph/dim.ts";
import { type GraphNode, nodesUpTo, type Tensor } from "../../src/graph/tensor.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { Random } from "../../src/random.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { cpu, gpu } from "./device.ts";

/** Differences up to this share of a tensor's largest number are rounding. */
const TOLERANCE = 1e-4;

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.04, temperature: 1 } as LossSpec;
const LORA = { rank: 3, alpha: 6, dropout: 0.2, rsLora: false, targets: ALL_LORA_TARGETS };
const SIZES: Readonly<Record<string, number>> = { B: 2, T: 1, M: 8, K: 16, R: 2, P: 4, S: 3, C: 5, A: 2, W: 3 };

/** A small model with norms of queries and keys. */
const CONFIG: ModelConfig = {
  ...presetConfig("tiny", buildTokenizer("countdown-compact")),
  ...{ vocabSize: 29, hiddenSize: 20, intermediateSize: 28, numLayers: 2, numHeads: 6, numKvHeads: 2, headDim: 16 },
  qkNorm: true,
};

/** The programs, by what they are. */
function programs(config = CONFIG): Record<string, ProgramGraph> {
  return {
    sampling: samplingGraph(config),
    "sampling, scored": samplingGraph(config, {}, { scored: true }),
    scoring: sequenceGraph(config, null),
    "cross-entropy": sequenceGraph(config, CROSS_ENTROPY),
    GRPO: sequenceGraph(config, GRPO),
    "GRPO on kept tokens": sequenceGraph(config, GRPO, { restricted: true }),
    "gradient checkpointing": sequenceGraph(config, CROSS_ENTROPY, { recompute: true }),
    "noise on embeddings": sequenceGraph(config, {
      ...CROSS_ENTROPY,
      embeddingNoise: { alpha: 5, seed: 3 },
    } as LossSpec),
    "an adapter with dropout": sequenceGraph(config, CROSS_ENTROPY, { form: { lora: LORA } }),
  };
}

/** Prints a line for each program; 1 where a node is at fault. */
export async function bisect(): Promise<number> {
  let code = 0;
  for (const [name, { graph, outputs }] of Object.entries(programs())) {
    const nodes = nodesUpTo(...Object.values(outputs));
    const wanted = Object.fromEntries(
      nodes.flatMap((node) => node.outputs.filter((tensor) => isCompared(node, tensor)).map((t) => [`t${t.id}`, t])),
    );
    const [onGpu, onCpu] = [
      await valuesOn(gpu, { graph, outputs: wanted }),
      await valuesOn(cpu, { graph, outputs: wanted }),
    ];
    const apart = new Map([...onCpu].map(([id, own]) => [id, shareApart(onGpu.get(id)!, own)]));
    const worst = Math.max(0, ...apart.values());
    const differing = nodes.filter((node) => node.outputs.some((t) => (apart.get(`t${t.id}`) ?? 0) > TOLERANCE));
    const atFault = differing.filter((node) => !node.inputs.some((t) => (apart.get(`t${t.id}`) ?? 0) > TOLERANCE));
    console.log(`${name}: ${apart.size} tensors of ${nodes.length} nodes, at most ${worst.toExponential(1)} apart`);
    for (const node of atFault) console.log(`  first to differ: ${described(node)}`);
    if (atFault.length > 0) {
      console.log(`  ${differing.length} nodes differ`);
      code = 1;
    }
  }
  return code;
}

/** Inputs are the same, and of a cache that is not extended in place only what is attended to is written. */
function isCompared({ operation, outputs }: GraphNode, tensor: Tensor): boolean {
  if (operation.name === "cachedAttention" && tensor !== outputs[0]) return false;
  return tensor.dtype === "float32" && !/^(input |constant)/.test(operation.name);
}

async function valuesOn(device: Device, { graph, outputs }: ProgramGraph): Promise<Map<string, Float32Array>> {
  const program = await compile(device, graph, outputs);
  const feeds = new Map(program.inputs.map((input) => [input.name, feedOf(device, input)]));
  const call = program.prepare(feeds);
  try {
    await call.run();
    const values = new Map<string, Float32Array>();
    for (const [name, tensor] of call.results) {
      values.set(name, Float32Array.from(await read(device, tensor as DeviceTensor<"float32">)));
    }
    return values;
  } finally {
    call.dispose();
    program.dispose();
    for (const tensor of feeds.values()) tensor.dispose();
  }
}

/** Numbers for an input, the same on both devices: indices in range, masks of zeros, weights and the rest random. */
function feedOf(
  device: Device,
  { name, dtype, shape }: { name: string; dtype: string; shape: Tensor["shape"] },
): DeviceTensor {
  const sizes = new Map(Object.entries(SIZES));
  const dims = shape.map((dim) => (isSizeName(dim) ? sizes.get(dim)! : evaluateDim(dim, sizes)));
  const count = dims.reduce((product, size) => product * size, 1);
  const random = new Random(1, name);
  const most = name === "promptOf" ? SIZES.R! : name === "rows" ? SIZES.B! : 4;
  if (dtype === "int64")
    return tensorOf(
      device,
      "int64",
      dims,
      BigInt64Array.from({ length: count }, (_, i) => BigInt(i % most)),
    );
  if (dtype === "int32") {
    const value = (i: number) => {
      if (/Words/.test(name)) return Math.imul(i + 1, 0x9e3779b1) | 0;
      // The target of its row is among the kept tokens.
      if (name === "keptTokens") return (Math.floor(i / SIZES.W!) % 4) + (i % SIZES.W!);
      return name === "totalLength" ? 4 : i % 3;
    };
    return tensorOf(
      device,
      "int32",
      dims,
      Int32Array.from({ length: count }, (_, i) => value(i)),
    );
  }
  const isZero = /Causal|Bias$|alternatives/.test(name) && dims.length < 3;
  const value = () => (isZero ? 0 : 0.3 * random.normal());
  return tensorOf(device, "float32", dims, Float32Array.from({ length: count }, value));
}

function shareApart(found: Float32Array, expected: Float32Array): number {
  let [apart, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(found[i]! - expected[i]!);
    apart = Math.max(apart, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return apart === 0 ? 0 : apart / (largest || 1);
}

function described({ operation, inputs, outputs }: GraphNode): string {
  const shown = (tensors: readonly Tensor[]) =>
    tensors.map(({ dtype, shape }) => `${dtype} ${showShape(shape)}`).join(", ");
  return `${operation.name} (${shown(inputs)}) → ${shown(outputs)}`;
}
