/**
 * Runs graphs on this machine's CPU through ONNX Runtime.
 *
 * Buffers are plain typed arrays outside V8's heap; ONNX Runtime reads and writes them in place. An output may be given
 * the memory of an input (a key-value cache that grows in place); nothing is copied on the way in or out.
 */

import koffi from "koffi";
import { GraphError, RuntimeFailure } from "../errors.ts";
import { evaluateDim, isSizeName, showShape } from "../graph/dim.ts";
import { type LoweredGraph, lowerToOnnx, ONNX_DTYPE } from "../graph/onnx.ts";
import type { DType, Graph, Tensor, TensorType } from "../graph/tensor.ts";
import { NativeScope } from "./native-scope.ts";
import { OrtApi, type Pointer } from "./ort-api.ts";

export type TensorData = Float32Array | BigInt64Array | Int32Array | Uint8Array | Uint16Array;

/** Of what it reports as an error ONNX Runtime also gives a status, which becomes a RuntimeFailure: not said twice. */
const LOG_FATAL_ONLY = 4;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;

/**
 * Settings of the arena (`OrtArenaCfg`), from which every program takes its memory. It grows in regions, and what was let
 * go of is joined with its neighbours within a region only, so regions double: with regions as large as what was asked for
 * a step at a vocabulary of 151,936 takes 60 MiB more. A region is an address range; memory is what of it was once
 * written. (One first region of 2 GiB takes another 70 less there, and 70 more in sampling with a small model.) A free
 * piece that is too large by more than `UNCUT_BYTES` is cut; by default only by more than 128 MiB.
 */
const NO_LIMIT = 0;
const NEXT_POWER_OF_TWO = 0;
const DEFAULT = -1;
const UNCUT_BYTES = 2 ** 20;

/** The array that holds elements of a dtype; bool tensors stay inside of graphs. */
const ARRAY_OF = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bfloat16: Uint16Array,
  bool: undefined,
} as const;

/** Zeroed memory for `length` elements, always outside V8's heap, so that its address never changes. */
export function allocate(dtype: DType, length: number): TensorData {
  const bytes = (elementBytes: number) => new ArrayBuffer(Math.max(length * elementBytes, 64));
  switch (dtype) {
    case "float32":
      return new Float32Array(bytes(4), 0, length);
    case "int32":
      return new Int32Array(bytes(4), 0, length);
    case "int64":
      return new BigInt64Array(bytes(8), 0, length);
    case "bfloat16":
      return new Uint16Array(bytes(2), 0, length);
    case "uint8":
      return new Uint8Array(bytes(1), 0, length);
    case "bool":
      throw new GraphError("a bool tensor cannot cross the runtime: cast it in the graph");
  }
}

/** A tensor in memory that a program can read and write. Holds a native handle: dispose it. */
export class DeviceTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: TensorData;
  readonly handle: Pointer;
  readonly #runtime: Runtime;
  #disposed = false;

  constructor(runtime: Runtime, dtype: DType, dims: readonly number[], data: TensorData) {
    const kind = ARRAY_OF[dtype];
    if (kind === undefined || !(data instanceof kind)) {
      throw new GraphError(
        `a ${dtype} tensor of shape ${showShape(dims)} needs ${kind?.name ?? "a cast in the graph"}`,
      );
    }
    const elements = dims.reduce((product, size) => product * size, 1);
    if (data.length < elements) {
      throw new GraphError(`${data.length} elements are too few for a tensor of shape ${showShape(dims)}`);
    }
    this.dtype = dtype;
    this.dims = dims;
    this.data = data;
    this.#runtime = runtime;
    this.handle = runtime.createValue(dtype, dims, data, elements);
  }

  dispose(): void {
    if (!this.#disposed) this.#runtime.api.release("ReleaseValue", this.handle);
    this.#disposed = true;
  }
}

/** ONNX Runtime in this process: one environment, one pool of threads for every program. */
export class Runtime {
  static #instance: Runtime | undefined;
  readonly api = new OrtApi();
  readonly threads: number;
  readonly #environment: Pointer;
  readonly #memoryInfo: Pointer;

  /**
   * The process's runtime. ONNX Runtime has one thread pool per process: the first call decides how many threads it has,
   * and a later call with another number throws RuntimeFailure.
   */
  static open(threads: number): Runtime {
    Runtime.#instance ??= new Runtime(threads);
    if (Runtime.#instance.threads !== threads) {
      throw new RuntimeFailure(
        `this process computes with ${Runtime.#instance.threads} threads already, not ${threads}: ` +
          "there is one pool of threads for all engines of a process, so open each with the same number",
      );
    }
    return Runtime.#instance;
  }

  private constructor(threads: number) {
    this.threads = threads;
    const options = this.api.create("CreateThreadingOptions");
    try {
      this.api.call("SetGlobalIntraOpNumThreads", options, threads);
      // Denormals slow AVX code down a hundredfold and carry nothing at f32's scale of log-probabilities.
      this.api.call("SetGlobalDenormalAsZero", options);
      this.#environment = this.api.create("CreateEnvWithGlobalThreadPools", LOG_FATAL_ONLY, "aha", options);
    } finally {
      this.api.release("ReleaseThreadingOptions", options);
    }
    this.#memoryInfo = this.api.create("CreateCpuMemoryInfo", ARENA_ALLOCATOR, DEFAULT_MEMORY);
    const arena = this.api.create("CreateArenaCfg", NO_LIMIT, NEXT_POWER_OF_TWO, DEFAULT, UNCUT_BYTES);
    try {
      this.api.call("CreateAndRegisterAllocator", this.#environment, this.#memoryInfo, arena);
    } finally {
      this.api.release("ReleaseArenaCfg", arena);
    }
  }

  /** New zeroed memory as a tensor. */
  zeros(dtype: DType, dims: readonly number[]): DeviceTensor {
    const length = dims.reduce((product, size) => product * size, 1);
    return new DeviceTensor(this, dtype, dims, allocate(dtype, length));
  }

  /** A tensor over existing memory (from `allocate`), which it may be larger than. */
  view(dtype: DType, dims: readonly number[], data: TensorData): DeviceTensor {
    return new DeviceTensor(this, dtype, dims, data);
  }

  /** Compiles the named outputs of a graph. */
  compile(graph: Graph, outputs: Readonly<Record<string, Tensor>>): Program {
    const lowered = lowerToOnnx(graph, outputs);
    const { model } = lowered;
    const options = this.api.create("CreateSessionOptions");
    try {
      this.api.call("DisablePerSessionThreads", options);
      // Sizes change from run to run, so a plan of memory made for one run fits no other.
      this.api.call("DisableMemPattern", options);
      // Programs run one after another, so they share one arena: memory is that of the largest, not of all of them.
      this.api.call("AddSessionConfigEntry", options, "session.use_env_allocators", "1");
      const session = this.api.create("CreateSessionFromArray", this.#environment, model, model.length, options);
      return new Program(this, session, lowered);
    } finally {
      this.api.release("ReleaseSessionOptions", options);
    }
  }

  /** The native handle of a tensor over `data`; whoever asks for it releases it. */
  createValue(dtype: DType, dims: readonly number[], data: TensorData, elements: number): Pointer {
    const native = BigInt64Array.from(dims.length === 0 ? [0n] : dims.map(BigInt));
    const bytes = elements * data.BYTES_PER_ELEMENT;
    const rank = dims.length;
    return this.api.create(
      "CreateTensorWithDataAsOrtValue",
      this.#memoryInfo,
      data,
      bytes,
      native,
      rank,
      ONNX_DTYPE[dtype],
    );
  }
}

type Named = TensorType & { readonly name: string };

/** Names as C strings, and an array of pointers to them; both must outlive their use. */
class NativeNames {
  readonly strings: Buffer[];
  readonly pointers: BigUint64Array;

  constructor(names: readonly string[]) {
    this.strings = names.map((name) => Buffer.concat([Buffer.from(name), Buffer.alloc(64)]));
    this.pointers = pointerArray(this.strings.map((string) => koffi.address(string)));
  }
}

/** A compiled graph. Holds a native session: dispose it, once no call of it runs. */
export class Program {
  readonly inputs: readonly Named[];
  readonly outputs: readonly Named[];
  readonly #runtime: Runtime;
  readonly #session: Pointer;
  readonly #shapeInputs: LoweredGraph["shapeInputs"];
  readonly #inputNames: NativeNames;
  readonly #outputNames: NativeNames;
  #disposed = false;

  constructor(runtime: Runtime, session: Pointer, lowered: LoweredGraph) {
    this.#runtime = runtime;
    this.#session = session;
    this.inputs = lowered.inputs;
    this.outputs = lowered.outputs;
    this.#shapeInputs = lowered.shapeInputs;
    this.#inputNames = new NativeNames([...lowered.inputs, ...lowered.shapeInputs].map(({ name }) => name));
    this.#outputNames = new NativeNames(lowered.outputs.map(({ name }) => name));
  }

  /**
   * Checks and fixes what a run reads and writes; the same call runs again and again on whatever its tensors then hold.
   * `feeds` has every input; `fetches` has the tensors to write outputs to, and for an output that it lacks memory is
   * allocated, which the call owns. Throws GraphError for shapes that do not fit.
   */
  prepare(
    feeds: ReadonlyMap<string, DeviceTensor>,
    fetches: ReadonlyMap<string, DeviceTensor> = new Map(),
  ): PreparedCall {
    const sizes = this.#bindSizes(feeds);
    const owned = new NativeScope();
    try {
      const inputs = this.inputs.map(({ name }) => feeds.get(name)!);
      for (const { dims } of this.#shapeInputs) {
        const tensor = owned.hold(this.#runtime.zeros("int64", [dims.length]));
        (tensor.data as BigInt64Array).set(dims.map((dim) => BigInt(evaluateDim(dim, sizes))));
        inputs.push(tensor);
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
        results.set(name, given ?? owned.hold(this.#runtime.zeros(dtype, dims)));
      }
      const call = {
        session: this.#session,
        inputNames: this.#inputNames,
        outputNames: this.#outputNames,
        inputs,
        outputs: [...results.values()],
      };
      return new PreparedCall(this.#runtime, call, results, owned);
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
    if (!this.#disposed) this.#runtime.api.release("ReleaseSession", this.#session);
    this.#disposed = true;
  }
}

interface NativeCall {
  readonly session: Pointer;
  readonly inputNames: NativeNames;
  readonly outputNames: NativeNames;
  readonly inputs: readonly DeviceTensor[];
  readonly outputs: readonly DeviceTensor[];
}

/** A program with its operands bound. */
export class PreparedCall {
  /** Every output by name; valid after a run, and for those that the call owns until `dispose`. */
  readonly results: ReadonlyMap<string, DeviceTensor>;
  readonly #runtime: Runtime;
  readonly #call: NativeCall;
  readonly #owned: NativeScope;
  readonly #inputHandles: BigUint64Array;
  readonly #outputHandles: BigUint64Array;

  constructor(runtime: Runtime, call: NativeCall, results: ReadonlyMap<string, DeviceTensor>, owned: NativeScope) {
    this.#runtime = runtime;
    this.#call = call;
    this.results = results;
    this.#owned = owned;
    this.#inputHandles = pointerArray(call.inputs.map(({ handle }) => handle));
    this.#outputHandles = pointerArray(call.outputs.map(({ handle }) => handle));
  }

  /** Runs on a worker thread; the event loop stays free meanwhile. */
  async run(): Promise<void> {
    const { session, inputNames, outputNames, inputs, outputs } = this.#call;
    await this.#runtime.api.callAsync(
      "Run",
      session,
      null,
      inputNames.pointers,
      this.#inputHandles,
      inputs.length,
      outputNames.pointers,
      outputs.length,
      this.#outputHandles,
    );
  }

  /** Releases the tensors that the call owns; feeds and fetches are their owner's. */
  dispose(): void {
    this.#owned.dispose();
  }
}

/** Pointers in memory outside V8's heap. */
function pointerArray(pointers: readonly Pointer[]): BigUint64Array {
  const array = new BigUint64Array(new ArrayBuffer(Math.max(64, pointers.length * 8)), 0, pointers.length);
  array.set(pointers as Pointer[]);
  return array;
}

function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
