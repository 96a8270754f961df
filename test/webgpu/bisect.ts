/**
 * Every intermediate number of every program on WebGPU and on the CPU: which node is the first that differs.
 *
 * A node is at fault where its result differs and none of its operands does; what follows it differs too and is counted only.
 * Of a loop over chunks its results are compared, whose inside is the program with whole logits once more; of an operation
 * that is lowered to several ONNX nodes, its results. Programs in 16 bits are left out: a software driver has no such numbers.
 */

import type { Device, DeviceTensor, StoredDType } from "../../src/compute/device.ts";
import { read } from "../../src/compute/host-memory.ts";
import { compile, type ProgramGraph } from "../../src/compute/program.ts";
import { fromBfloat16, toBfloat16 } from "../../src/float-formats.ts";
import { evaluateDim, isSizeName, showShape } from "../../src/graph/dim.ts";
import { type Graph, type GraphNode, nodesUpTo, type Tensor } from "../../src/graph/tensor.ts";
import type { TensorType } from "../../src/graph/tensor-type.ts";
import { Random } from "../../src/random.ts";
import { EVERY_PROGRAM, isGiven } from "../graph/every-program.ts";
import { indexOf, integerOf, numberOf, SIZES, type Sizes } from "./bisect-feeds.ts";
import { cpu, gpu } from "./device.ts";

/** Differences up to this share of a tensor's largest number are rounding. */
const TOLERANCE = 1e-4;
/** A sum whose terms cancel out is compared with this share of its largest operand. */
const CANCELLED = 1e-3;

/** Prints a line for each program whose name has one of `parts` in it, of all without any; 1 where a node is at fault. */
export async function bisect(parts: readonly string[]): Promise<number> {
  const isAsked = (name: string) => parts.length === 0 || parts.some((part) => name.includes(part));
  const programs = EVERY_PROGRAM.filter(({ name, half }) => half === undefined && isAsked(name));
  let [code, compared] = [0, 0];
  for (const program of programs.filter((one) => isGiven(one, gpu.target))) {
    const { graph, outputs } = program.graph();
    const sizes = { ...SIZES, ...program.sizes };
    const nodes = nodesUpTo(...Object.values(outputs));
    const wanted = Object.fromEntries(
      nodes.flatMap((node) => node.outputs.filter((tensor) => isCompared(node, tensor)).map((t) => [nameOf(t), t])),
    );
    const onGpu = await valuesOn(gpu, { graph, outputs: wanted }, sizes);
    const onCpu = await valuesOn(cpu, { graph, outputs: wanted }, sizes);
    const apart = new Map<Tensor, number>();
    for (const { inputs, outputs: results } of nodes) {
      const operands = Math.max(0, ...inputs.map((tensor) => largest(onCpu.get(nameOf(tensor)) ?? [])));
      for (const tensor of results) {
        const own = onCpu.get(nameOf(tensor));
        if (own) apart.set(tensor, shareApart(onGpu.get(nameOf(tensor))!, own, CANCELLED * operands));
      }
    }
    const differs = (tensor: Tensor) => (apart.get(tensor) ?? 0) > TOLERANCE;
    const differing = nodes.filter((node) => node.outputs.some(differs));
    const atFault = differing.filter((node) => !node.inputs.some(differs));
    const worst = Math.max(0, ...apart.values()).toExponential(1);
    console.log(`${program.name}: ${apart.size} tensors of ${nodes.length} nodes, at most ${worst} apart`);
    for (const node of atFault) console.log(`  first to differ: ${described(node)}`);
    if (atFault.length > 0) {
      console.log(`  ${differing.length} nodes differ`);
      code = 1;
    }
    compared += apart.size;
  }
  console.log(`${compared} tensors`);
  if (compared === 0) console.log(`No program that ${gpu.name} is given has ${parts.join(" or ")} in its name.`);
  return compared === 0 ? 1 : code;
}

const nameOf = ({ id }: Tensor): string => `t${id}`;

/** Inputs are the same, and of a cache that is not extended in place only what is attended to is written. */
function isCompared({ operation, outputs }: GraphNode, tensor: Tensor): boolean {
  if (operation.name === "cachedAttention" && tensor !== outputs[0]) return false;
  return tensor.dtype === "float32" && !/^(input |constant)/.test(operation.name);
}

async function valuesOn(
  device: Device,
  { graph, outputs }: ProgramGraph,
  sizes: Sizes,
): Promise<Map<string, Float32Array>> {
  const program = await compile(device, graph, outputs);
  const feeds = new Map(program.inputs.map((input) => [input.name, feedOf(device, input, graph, sizes)]));
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

/** Numbers for an input, the same on both devices: those that it can have (`bisect-feeds.ts`), the rest random. */
function feedOf(
  device: Device,
  { name, dtype, shape }: TensorType & { readonly name: string },
  graph: Graph,
  sizes: Sizes,
): DeviceTensor {
  const known = new Map(Object.entries(sizes));
  const sizeOf = (dim: string) => known.get(dim) ?? 4 + Number(/^n(\d)$/.exec(dim)?.[1]);
  const dims = shape.map((dim) => (isSizeName(dim) ? sizeOf(dim) : evaluateDim(dim, known)));
  const length = dims.reduce((product, size) => product * size, 1);
  const own = graph.inputs.find((input) => input.name === name)!.dtype;
  if (own === "int64") {
    const values = BigInt64Array.from({ length }, (_, i) => BigInt(indexOf(name, i, sizes)));
    return filled(device, "int64", dims, values);
  }
  if (own === "int32") {
    const vocabSize = Number(graph.inputs.find((input) => input.name === "logits")?.shape[1]);
    const values = Int32Array.from({ length }, (_, i) => integerOf(name, i, sizes, vocabSize));
    return filled(device, "int32", dims, values);
  }
  if (own === "uint8")
    return filled(
      device,
      "uint8",
      dims,
      Uint8Array.from({ length }, (_, i) => (37 * i + 11) % 256),
    );
  const random = new Random(1, name);
  const values = Float32Array.from({ length }, (_, i) => numberOf(name, i, random));
  if (own === "float32") return filled(device, "float32", dims, values);
  // A model's tensors of 16 bits, which a device without that dtype holds in float32.
  const half = new Uint16Array(length);
  toBfloat16(values, half);
  if (dtype === "bfloat16") return filled(device, "bfloat16", dims, half);
  fromBfloat16(half, values);
  return filled(device, "float32", dims, values);
}

function filled(device: Device, dtype: StoredDType, dims: readonly number[], values: ArrayBufferView): DeviceTensor {
  const tensor = device.allocate(dtype, dims);
  device.upload(tensor, values as Float32Array);
  return tensor;
}

const largest = (values: Iterable<number>): number => {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
};

/** The largest difference, as a share of the largest number or of `least`. */
function shareApart(found: Float32Array, expected: Float32Array, least: number): number {
  let apart = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(found[i]! - expected[i]!);
    apart = Math.max(apart, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return apart === 0 ? 0 : apart / (Math.max(least, largest(expected)) || 1);
}

function described({ operation, inputs, outputs }: GraphNode): string {
  const shown = (tensors: readonly Tensor[]) =>
    tensors.map(({ dtype, shape }) => `${dtype} ${showShape(shape)}`).join(", ");
  return `${operation.name} (${shown(inputs)}) → ${shown(outputs)}`;
}
