/**
 * Writes a graph as an ONNX model (the protobuf message `ModelProto` of onnx.proto3, IR version 10, opset 21, and ONNX
 * Runtime's `com.microsoft` operators, version 1).
 *
 * Sizes that are known only at run time never become ONNX shape arithmetic: each distinct run-time shape that an
 * operation needs is one int64 input of the model, which the caller computes from the sizes of the inputs
 * (`LoweredGraph.shapeInputs`).
 */

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { GraphError } from "../errors.ts";
import { type Dim, showShape } from "./dim.ts";
import type { Emitter, OnnxNode, Subgraph } from "./emitter.ts";
import { type LoweringTarget, ONNX_RUNTIME_CPU } from "./target.ts";
import { type Graph, type GraphNode, nodesUpTo, type Tensor } from "./tensor.ts";
import { type ConstantData, type DType, isHalf, type TensorType } from "./tensor-type.ts";

const IR_VERSION = 10;
const OPSET_VERSION = 21;
const MICROSOFT = "com.microsoft";

/** TensorProto.DataType of each dtype. */
export const ONNX_DTYPE: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
};

/** An ONNX model and what its caller must feed and may fetch. */
export interface LoweredGraph {
  readonly model: Uint8Array;
  /** Inputs that the outputs depend on. */
  readonly inputs: readonly (TensorType & { readonly name: string })[];
  readonly outputs: readonly (TensorType & { readonly name: string })[];
  /** Further int64 inputs whose values are these dimensions. */
  readonly shapeInputs: readonly { readonly name: string; readonly dims: readonly Dim[] }[];
  /** How many nodes of each type the model has, those of bodies included, and counted once. */
  readonly operations: ReadonlyMap<string, number>;
}

/**
 * Lowers everything that the named outputs depend on, for a device (the CPU by default). Names that begin with `%` are the lowering's own. Throws GraphError
 * for an output that is named like an input.
 */
export function lowerToOnnx(
  graph: Graph,
  outputs: Readonly<Record<string, Tensor>>,
  target: LoweringTarget = ONNX_RUNTIME_CPU,
): LoweredGraph {
  const nodes: OnnxNode[] = [];
  const writer = new ModelNames();
  const emit = emitter(nodes, writer, target);

  const names = new Map<Tensor, string>();
  const order = nodesUpTo(...Object.values(outputs));
  lowerNodes(emit, order, names, Object.values(outputs));
  for (const [name, tensor] of Object.entries(outputs)) {
    if (graph.inputs.some((input) => input.name === name)) {
      throw new GraphError(`an output is named ${name}, which is an input: a model has one name for one tensor`);
    }
    const inputs = [names.get(tensor)!];
    if (isHalf(tensor.dtype) && target.emulates.has(tensor.dtype)) {
      const attributes = { to: BigInt(ONNX_DTYPE[tensor.dtype]) };
      nodes.push({ type: "Cast", domain: "", inputs, outputs: [name], attributes });
    } else nodes.push({ type: "Identity", domain: "", inputs, outputs: [name], attributes: {} });
  }

  const used = new Set(order);
  const inputs = graph.inputs.filter(({ tensor }) => used.has(tensor.node));
  const outputTypes = Object.entries(outputs).map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const shapes = [...writer.shapeInputs.values()];
  const modelInputs = [
    ...inputs.map(({ name, dtype, shape }) => ({ name, dtype: heldDType(target, dtype), shape })),
    ...shapes.map(({ name, dims }) => ({ name, dtype: "int64" as const, shape: [dims.length] })),
  ];
  const values = valuesBetween(nodes, names, target);
  const model = writeModel({ nodes, inputs: modelInputs, outputs: outputTypes, values }, [
    ...writer.constants.values(),
  ]);
  return {
    model,
    inputs: inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    outputs: outputTypes,
    shapeInputs: shapes,
    operations: counted(typesOf(nodes)),
  };
}

/**
 * Types of the tensors between inputs and outputs. ONNX Runtime cannot infer the shape of what a run-time shape makes, and
 * memory of unknown size is never used again: its planner then compares every tensor with everything that was let go of, so
 * that the time to load a model grows with the square of its nodes (docs/log.md). Tensors that are emulated in 16 bits are
 * left out, because they are held in more than one dtype.
 */
function valuesBetween(
  nodes: readonly OnnxNode[],
  names: ReadonlyMap<Tensor, string>,
  target: LoweringTarget,
): readonly Named[] {
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  return [...names].flatMap(([{ dtype, shape }, name]) => {
    const isOne = made.delete(name) && !(isHalf(dtype) && target.emulates.has(dtype));
    return isOne ? { name, dtype: heldDType(target, dtype), shape } : [];
  });
}

/** The dtype that a device with these kernels holds tensors of `dtype` in. */
export function heldDType<D extends DType>(target: LoweringTarget, dtype: D): D | "float32" {
  return dtype === "bfloat16" && target.lacks.has("bfloat16") ? "float32" : dtype;
}

function counted(types: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const type of types) counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

/** Types of nodes and of those in their bodies. */
function typesOf(nodes: readonly OnnxNode[]): string[] {
  return nodes.flatMap(({ type, attributes }) => {
    const bodies = Object.values(attributes).filter((value) => typeof value === "object" && "nodes" in value);
    return [type, ...bodies.flatMap((body) => typesOf((body as Subgraph).nodes))];
  });
}

/**
 * Adds the ONNX nodes of `nodes`, operands before their users, and enters the names of their outputs into `names`. Beside
 * the nodes themselves only `results` are read of their outputs.
 */
export function lowerNodes(
  emit: Emitter,
  nodes: readonly GraphNode[],
  names: Map<Tensor, string>,
  results: readonly Tensor[],
): void {
  const read = new Set([...results, ...nodes.flatMap(({ inputs }) => inputs)]);
  const halves = new HalfEmulation(emit, names);
  for (const node of nodes) {
    const inputs = node.inputs.map((input) => halves.operand(node, input));
    const isRead = node.outputs.map((output) => read.has(output));
    const lowered = node.operation.lower(emit, inputs, node, isRead);
    if (lowered.length !== node.outputs.length) {
      throw new GraphError(`${node.operation.name} lowers to ${lowered.length} outputs of ${node.outputs.length}`);
    }
    node.outputs.forEach((output, i) => {
      names.set(output, isRead[i] ? halves.result(node, output, lowered[i]!) : lowered[i]!);
    });
  }
}

/**
 * Tensors of 16 bits on a device that emulates them (`LoweringTarget.emulates`); on others everything passes as it is. What
 * comes from outside is held in 16 bits, also behind operations that only move elements, and is widened where it is first
 * read. All other tensors are float32 numbers that are rounded when they are made.
 */
class HalfEmulation {
  readonly #emit: Emitter;
  readonly #names: Map<Tensor, string>;
  readonly #widened = new Map<Tensor, string>();

  constructor(emit: Emitter, names: Map<Tensor, string>) {
    this.#emit = emit;
    this.#names = names;
  }

  /** The name of an operand, as the operation of `node` reads it. */
  operand({ operation }: GraphNode, tensor: Tensor): string {
    const name = this.#names.get(tensor)!;
    if (operation.readsHeld || operation.movesOnly || !this.#isHeld(tensor)) return name;
    const widened = this.#widened.get(tensor) ?? this.#cast(name, "float32");
    this.#widened.set(tensor, widened);
    return widened;
  }

  /** The name of a result that was lowered as `name`. */
  result({ operation }: GraphNode, tensor: Tensor, name: string): string {
    const { dtype } = tensor;
    if (operation.movesOnly || !isHalf(dtype) || !this.#emit.target.emulates.has(dtype)) return name;
    return this.#cast(this.#cast(name, dtype), "float32");
  }

  /** It is held in 16 bits, and not as float32. */
  #isHeld({ dtype, node: { operation, inputs } }: Tensor): boolean {
    if (!isHalf(dtype) || !this.#emit.target.emulates.has(dtype) || !operation.movesOnly) return false;
    return inputs.length === 0 || this.#isHeld(inputs[0]!);
  }

  #cast(name: string, dtype: DType): string {
    return this.#emit.node("Cast", [name], { attributes: { to: BigInt(ONNX_DTYPE[dtype]) } })[0]!;
  }
}

/** What a model and its subgraphs share: one namespace, the constants and the run-time shapes. */
class ModelNames {
  readonly constants = new Map<string, Constant>();
  readonly shapeInputs = new Map<string, { name: string; dims: readonly Dim[] }>();
  #counter = 0;

  fresh(): string {
    return `%${this.#counter++}`;
  }
}

/** An emitter that adds to `nodes`. */
function emitter(nodes: OnnxNode[], model: ModelNames, target: LoweringTarget): Emitter {
  const { constants, shapeInputs } = model;
  const emit: Emitter = {
    target,
    node(type, inputs, { outputs: count = 1, microsoft = false, attributes = {} } = {}) {
      const names = Array.from({ length: count }, () => model.fresh());
      nodes.push({ type, domain: microsoft ? MICROSOFT : "", inputs, outputs: names, attributes });
      return names;
    },
    constant(data, shape) {
      const key = `${data.constructor.name} ${showShape(shape)} ${data.join(",")}`;
      let known = constants.get(key);
      if (!known) {
        known = { name: `%constant ${constants.size}`, data, shape };
        constants.set(key, known);
      }
      return known.name;
    },
    shape(dims) {
      if (dims.every((dim) => typeof dim === "number")) {
        return emit.constant(BigInt64Array.from(dims, BigInt), [dims.length]);
      }
      const key = showShape(dims);
      let known = shapeInputs.get(key);
      if (!known) {
        known = { name: `%shape ${key}`, dims };
        shapeInputs.set(key, known);
      }
      return known.name;
    },
    subgraph(types, build) {
      const inputs = types.map(({ dtype, shape }) => ({ dtype, shape, name: model.fresh() }));
      const inner: OnnxNode[] = [];
      const outputs = build(
        emitter(inner, model, target),
        inputs.map(({ name }) => name),
      );
      return { nodes: inner, inputs, outputs };
    },
  };
  return emit;
}

// Field numbers below are those of onnx.proto3.

type Named = TensorType & { readonly name: string };
type Constant = { readonly name: string; readonly data: ConstantData; readonly shape: readonly number[] };

function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

const text = (w: BinaryWriter, field: number, value: string) => w.tag(field, WireType.LengthDelimited).string(value);
const integer = (w: BinaryWriter, field: number, value: number | bigint) =>
  w.tag(field, WireType.Varint).int64(BigInt(value).toString());

/** A graph as it is written: `values` are the types of tensors that are neither inputs nor outputs. */
interface WrittenGraph extends Subgraph {
  readonly values?: readonly Named[];
}

function writeModel(graph: WrittenGraph, constants: readonly Constant[]): Uint8Array {
  const w = new BinaryWriter();
  integer(w, 1, IR_VERSION);
  text(w, 2, "aha");
  message(w, 7, () => writeGraph(w, "graph", graph, constants));
  for (const [domain, version] of [
    ["", OPSET_VERSION],
    [MICROSOFT, 1],
  ] as const) {
    message(w, 8, () => {
      text(w, 1, domain);
      integer(w, 2, version);
    });
  }
  return w.finish();
}

function writeGraph(w: BinaryWriter, name: string, graph: WrittenGraph, constants: readonly Constant[] = []): void {
  for (const node of graph.nodes) message(w, 1, () => writeNode(w, node));
  text(w, 2, name);
  for (const constant of constants) message(w, 5, () => writeConstant(w, constant));
  for (const input of graph.inputs) message(w, 11, () => writeValueInfo(w, input));
  for (const output of graph.outputs) message(w, 12, () => writeValueInfo(w, output));
  for (const value of graph.values ?? []) message(w, 13, () => writeValueInfo(w, value));
}

function writeNode(w: BinaryWriter, node: OnnxNode): void {
  for (const input of node.inputs) text(w, 1, input);
  for (const output of node.outputs) text(w, 2, output);
  text(w, 4, node.type);
  for (const [name, value] of Object.entries(node.attributes)) {
    message(w, 5, () => {
      text(w, 1, name);
      if (typeof value === "number") {
        w.tag(2, WireType.Bit32).float(value);
        integer(w, 20, 1);
      } else if (typeof value === "bigint") {
        integer(w, 3, value);
        integer(w, 20, 2);
      } else if (typeof value === "string") {
        text(w, 4, value);
        integer(w, 20, 3);
      } else if ("nodes" in value) {
        message(w, 6, () => writeGraph(w, name, value));
        integer(w, 20, 5);
      } else {
        for (const element of value) integer(w, 8, element);
        integer(w, 20, 7);
      }
    });
  }
  if (node.domain !== "") text(w, 7, node.domain);
}

function writeConstant(w: BinaryWriter, { name, data, shape }: Constant): void {
  for (const size of shape) integer(w, 1, size);
  integer(
    w,
    2,
    data instanceof Float32Array
      ? ONNX_DTYPE.float32
      : data instanceof Int32Array
        ? ONNX_DTYPE.int32
        : ONNX_DTYPE.int64,
  );
  text(w, 8, name);
  // raw_data is little-endian, as every platform that Node runs on.
  w.tag(9, WireType.LengthDelimited).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function writeValueInfo(w: BinaryWriter, { name, dtype, shape }: Named): void {
  text(w, 1, name);
  message(w, 2, () => {
    message(w, 1, () => {
      integer(w, 1, ONNX_DTYPE[dtype]);
      message(w, 2, () => {
        for (const dim of shape) {
          message(w, 1, () => {
            if (typeof dim === "number") integer(w, 1, dim);
            else text(w, 2, dim);
          });
        }
      });
    });
  });
}
