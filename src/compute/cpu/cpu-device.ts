/**
 * This machine's processors, through ONNX Runtime's C API.
 *
 * Tensors are plain typed arrays outside of V8's heap; ONNX Runtime reads and writes them in place, and nothing is copied
 * on the way in or out. There is one environment, one pool of threads and one arena for every program of the process.
 */

import { type LoweredGraph, ONNX_DTYPE } from "../../graph/onnx.ts";
import { ONNX_RUNTIME_CPU } from "../../graph/target.ts";
import type { BlockCopy, Device, DeviceTensor, HostArrays, Session, StoredDType } from "../device.ts";
import { hostKernels } from "../host-kernels.ts";
import { allocateHost, copyBlocks, elementsOf, requireElements, setAll } from "../host-memory.ts";
import { OrtEnvironment } from "../ort/environment.ts";
import { NativeNames, type OrtApi, type Pointer, pointerArray } from "../ort/ort-api.ts";
import { versionWarning } from "../ort/version.ts";
import { CpuTensor, cpuTensor } from "./cpu-tensor.ts";

/**
 * Settings of the arena (`OrtArenaCfg`), from which every program takes its memory. It grows in regions, and memory
 * that was released is joined with its neighbours within a region only, so the size of regions doubles. If each region
 * had the size of the request instead, a step at a vocabulary of 151,936 would take 60 MiB more. A region is an address
 * range; only the parts that were written to take memory. (One first region of 2 GiB takes another 70 less there, and
 * 70 more in sampling with a small model.) A free piece that is too large by more than `UNCUT_BYTES` is cut; by default
 * only by more than 128 MiB.
 */
const NO_LIMIT = 0;
const NEXT_POWER_OF_TWO = 0;
const DEFAULT = -1;
const UNCUT_BYTES = 2 ** 20;

/** ONNX Runtime on the processors of this machine. */
export class CpuDevice implements Device {
  static #instance: CpuDevice | undefined;
  readonly name: string;
  readonly target = ONNX_RUNTIME_CPU;
  readonly warnings: readonly string[];
  readonly kernels = hostKernels(this, (tensor, first, count) => this.#rows(tensor, first, count));
  readonly #api: OrtApi;
  readonly #environment: Pointer;
  readonly #memoryInfo: Pointer;
  readonly #releaseValue = (handle: Pointer) => this.#api.release("ReleaseValue", handle);

  /** The process's CPU device. Throws RuntimeFailure where the process computes with another number of threads. */
  static open(threads: number): CpuDevice {
    const environment = OrtEnvironment.open(threads);
    CpuDevice.#instance ??= new CpuDevice(environment);
    return CpuDevice.#instance;
  }

  private constructor({ api, threads, handle, hostMemory }: OrtEnvironment) {
    this.name = `cpu, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    this.#api = api;
    const version = versionWarning(api);
    this.warnings = version === undefined ? [] : [version];
    this.#environment = handle;
    this.#memoryInfo = hostMemory;
    const arena = this.#api.create("CreateArenaCfg", NO_LIMIT, NEXT_POWER_OF_TWO, DEFAULT, UNCUT_BYTES);
    try {
      this.#api.call("CreateAndRegisterAllocator", this.#environment, this.#memoryInfo, arena);
    } finally {
      this.#api.release("ReleaseArenaCfg", arena);
    }
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): CpuTensor<D> {
    return this.#tensor(dtype, dims, allocateHost(dtype, elementsOf(dims)));
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): CpuTensor<D> {
    const { data } = cpuTensor(tensor);
    requireElements(data.length, dims);
    return this.#tensor(tensor.dtype, dims, data.subarray(0, elementsOf(dims)) as HostArrays[D]);
  }

  /** Rows of a matrix. The tensor must outlive them. */
  #rows<D extends StoredDType>(tensor: DeviceTensor<D>, first: number, count: number): CpuTensor<D> {
    const [, width] = tensor.dims as readonly [number, number];
    const data = cpuTensor(tensor).data.subarray(first * width, (first + count) * width);
    return this.#tensor(tensor.dtype, [count, width], data as HostArrays[D]);
  }

  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] {
    return cpuTensor(tensor).data;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    setAll(cpuTensor(tensor).data, values);
  }

  async download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    setAll(values, cpuTensor(tensor).data);
  }

  copy(copy: BlockCopy): void {
    copyBlocks(copy, cpuTensor(copy.source).data, cpuTensor(copy.target).data);
  }

  async load(lowered: LoweredGraph): Promise<Session> {
    const { model } = lowered;
    const options = this.#api.create("CreateSessionOptions");
    try {
      this.#api.call("DisablePerSessionThreads", options);
      // Sizes change from run to run, so a memory plan that was made for one run does not fit another.
      this.#api.call("DisableMemPattern", options);
      // Programs run one after another, so they share one arena. It needs the memory of the largest program, not of all
      // together.
      this.#api.call("AddSessionConfigEntry", options, "session.use_env_allocators", "1");
      // Compiling a large graph takes a second, and a server must answer other requests in that time.
      const environment = this.#environment;
      const session = await this.#api.createAsync("CreateSessionFromArray", environment, model, model.length, options);
      return new CpuSession(this.#api, session, lowered);
    } finally {
      this.#api.release("ReleaseSessionOptions", options);
    }
  }

  /** A tensor over `data`, which comes from `allocateHost` and has as many elements as the shape. */
  #tensor<D extends StoredDType>(dtype: D, dims: readonly number[], data: HostArrays[D]): CpuTensor<D> {
    const native = BigInt64Array.from(dims.length === 0 ? [0n] : dims.map(BigInt));
    const handle = this.#api.create(
      "CreateTensorWithDataAsOrtValue",
      this.#memoryInfo,
      data,
      data.byteLength,
      native,
      dims.length,
      ONNX_DTYPE[dtype],
    );
    return new CpuTensor(dtype, dims, data, handle, this.#releaseValue);
  }
}

class CpuSession implements Session {
  readonly #api: OrtApi;
  readonly #session: Pointer;
  readonly #inputNames: NativeNames;
  readonly #outputNames: NativeNames;

  constructor(api: OrtApi, session: Pointer, { inputs, shapeInputs, outputs }: LoweredGraph) {
    this.#api = api;
    this.#session = session;
    this.#inputNames = new NativeNames([...inputs, ...shapeInputs].map(({ name }) => name));
    this.#outputNames = new NativeNames(outputs.map(({ name }) => name));
  }

  /** The run is on a worker thread. */
  bind(inputs: readonly DeviceTensor[], outputs: readonly DeviceTensor[]): () => Promise<void> {
    // The closure keeps the tensors alive: their memory must not be freed while a run may use it.
    const [read, written] = [inputs.map(cpuTensor), outputs.map(cpuTensor)];
    const inputHandles = pointerArray(read.map(({ handle }) => handle));
    const outputHandles = pointerArray(written.map(({ handle }) => handle));
    return () =>
      this.#api.callAsync(
        "Run",
        this.#session,
        null,
        this.#inputNames.pointers,
        inputHandles,
        read.length,
        this.#outputNames.pointers,
        written.length,
        outputHandles,
      );
  }

  dispose(): void {
    this.#api.release("ReleaseSession", this.#session);
  }
}
