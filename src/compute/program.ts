/**
 * A compiled graph on a device: which tensors a run reads and writes is checked against the graph's shapes, and sizes
 * that are known only at run time are computed from them. The device only adds the run itself (`Session`).
 */

import { GraphError } from "../errors.ts";
import { evaluateDim, isSizeName, showShape } from "../graph/dim.ts";
import { type LoweredGraph, lowerToOnnx } from "../graph/onnx.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import type { DType, TensorType } from "../graph/tensor-type.ts";
import type { Device, DeviceTensor, Session, StoredDType } from "./device.ts";
import { HostInput, read } from "./host-memory.ts";
import { type Disposable, Scope } from "./scope.ts";

type Named = TensorType & { readonly name: string };

/** A graph and the tensors that are fetched from it, by name. */
export interface ProgramGraph {
  readonly graph: Graph;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Compiles the named outputs of a graph. */
export async function compile(
  device: Device,
  graph: Graph,
  outputs: Readonly<Record<string, Tensor>>,
): Promise<Program> {
  const lowered = lowerToOnnx(graph, outputs, device.target);
  for (const { name, dtype } of [...lowered.inputs, ...lowered.outputs]) storedDType(name, dtype);
  return new Program(device, await device.load(lowered), lowered);
}

/** A compiled graph. Dispose of it, once no call of it runs. */
export class Program implements Disposable {
  readonly inputs: readonly Named[];
  readonly outputs: readonly Named[];
  readonly #device: Device;
  readonly #session: Session;
  readonly #shapeInputs: LoweredGraph["shapeInputs"];
  #disposed = false;

  constructor(device: Device, session: Session, lowered: LoweredGraph) {
    this.#device = device;
    this.#session = session;
    this.inputs = lowered.inputs;
    this.outputs = lowered.outputs;
    this.#shapeInputs = lowered.shapeInputs;
  }

  /**
   * Checks and fixes what a run reads and writes; the same call can run many times, on the numbers that its tensors
   * hold at that time. `feeds` has every input; `fetches` has the tensors to write outputs to, and for an output that
   * it lacks a tensor is allocated, which the call owns. An output may be given the memory of an input: a key-value
   * cache that grows in place. Throws GraphError for shapes that do not fit.
   */
  prepare(
    feeds: ReadonlyMap<string, DeviceTensor>,
    fetches: ReadonlyMap<string, DeviceTensor> = new Map(),
  ): PreparedCall {
    const sizes = this.#bindSizes(feeds);
    const owned = new Scope();
    try {
      const inputs = this.inputs.map(({ name }) => feeds.get(name)!);
      for (const { dims } of this.#shapeInputs) {
        const values = BigInt64Array.from(dims, (dim) => BigInt(evaluateDim(dim, sizes)));
        const shape = owned.hold(new HostInput(this.#device, "int64", [dims.length], { onHost: true }));
        shape.data.set(values);
        shape.upload();
        inputs.push(shape.tensor);
      }
      const results = new Map<string, DeviceTensor>();
      for (const { name, dtype, shape } of this.outputs) {
        const dims = shape.map((dim) => evaluateDim(dim, sizes));
        const given = fetches.get(name);
        if (given && given.dtype !== dtype) {
          throw new GraphError(`output ${name} is ${dtype}, not ${given.dtype}`);
        }
        if (given && !sameDims(given.dims, dims)) {
          throw new GraphError(`output ${name} has shape ${showShape(dims)}, not ${showShape(given.dims)}`);
        }
        results.set(name, given ?? owned.hold(this.#device.allocate(storedDType(name, dtype), dims)));
      }
      return new PreparedCall(this.#device, this.#session.bind(inputs, [...results.values()]), results, owned);
    } catch (error) {
      owned.dispose();
      throw error;
    }
  }

  #bindSizes(feeds: ReadonlyMap<string, DeviceTensor>): Map<string, number> {
    const sizes = new Map<string, number>();
    const fed = this.inputs.map((input) => {
      const tensor = feeds.get(input.name);
      if (!tensor) throw new GraphError(`input ${input.name} is not fed`);
      if (tensor.dtype !== input.dtype || tensor.dims.length !== input.shape.length) {
        const found = `${tensor.dtype} ${showShape(tensor.dims)}`;
        throw new GraphError(`input ${input.name} is ${input.dtype} ${showShape(input.shape)}, not ${found}`);
      }
      return { input, tensor };
    });
    for (const { input, tensor } of fed) {
      input.shape.forEach((dim, axis) => {
        if (isSizeName(dim) && !sizes.has(dim)) sizes.set(dim, tensor.dims[axis]!);
      });
    }
    for (const { input, tensor } of fed) {
      const expected = input.shape.map((dim) => evaluateDim(dim, sizes));
      if (!sameDims(expected, tensor.dims)) {
        const found = `${showShape(input.shape)} = ${showShape(expected)}, not ${showShape(tensor.dims)}`;
        throw new GraphError(`input ${input.name} has shape ${found}`);
      }
    }
    return sizes;
  }

  dispose(): void {
    if (!this.#disposed) this.#session.dispose();
    this.#disposed = true;
  }
}

/** A program with its operands bound. */
export class PreparedCall implements Disposable {
  /** Every output by name; valid after a run, and for those that the call owns until `dispose`. */
  readonly results: ReadonlyMap<string, DeviceTensor>;
  /** Carries the computation out; the event loop stays free meanwhile. */
  readonly run: () => Promise<void>;
  readonly #device: Device;
  readonly #owned: Scope;

  constructor(device: Device, run: () => Promise<void>, results: ReadonlyMap<string, DeviceTensor>, owned: Scope) {
    this.#device = device;
    this.run = run;
    this.results = results;
    this.#owned = owned;
  }

  /** The numbers of a float32 output, as `read` gives them; undefined where the program has none of this name. */
  async floats(name: string): Promise<Float32Array | undefined> {
    const tensor = this.results.get(name);
    return tensor && (read(this.#device, tensor) as Promise<Float32Array>);
  }

  /** An output that outlives the call: it is the caller's. undefined where the program has none of this name. */
  handOver(name: string): DeviceTensor | undefined {
    const tensor = this.results.get(name);
    if (tensor) this.#owned.handOver(tensor);
    return tensor;
  }

  /** Releases the tensors that the call owns; feeds and fetches are their owner's. */
  dispose(): void {
    this.#owned.dispose();
  }
}

function storedDType(name: string, dtype: DType): StoredDType {
  if (dtype !== "bool") return dtype;
  throw new GraphError(`${name} is a bool tensor, which cannot stand between programs: cast it in the graph`);
}

function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
