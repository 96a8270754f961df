/**
 * The processors, from a browser: ONNX Runtime as WebAssembly, with SIMD, and with threads where the page may have them.
 *
 * It is the CPU device once more (`compute/cpu/`), with the module's memory in the place of the process's: tensors are views
 * of it, programs read and write them in place, and nothing is copied on the way in or out.
 */

import { GraphError } from "../../errors.ts";
import { showShape } from "../../graph/dim.ts";
import { type LoweredGraph, ONNX_DTYPE } from "../../graph/onnx.ts";
import { ONNX_RUNTIME_CPU } from "../../graph/target.ts";
import type { BlockCopy, Device, DeviceTensor, HostArray, HostArrays, Session, StoredDType } from "../device.ts";
import { hostKernels } from "../host-kernels.ts";
import { elementsOf } from "../host-memory.ts";
import { EventLoop } from "./event-loop.ts";
import { type Address, LOCATION, type OrtModuleFactory, OrtSession, OrtWeb } from "./ort-module.ts";

const ARRAY_OF = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
} as const;

/** A tensor in the module's memory. */
class WasmTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: HostArrays[D];
  readonly handle: Address;
  readonly #release: () => void;
  #isGone = false;

  constructor(dtype: D, dims: readonly number[], data: HostArrays[D], handle: Address, release: () => void) {
    this.dtype = dtype;
    this.dims = dims;
    this.data = data;
    this.handle = handle;
    this.#release = release;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  dispose(): void {
    if (!this.#isGone) this.#release();
    this.#isGone = true;
  }
}

function wasmTensor<D extends StoredDType>(tensor: DeviceTensor<D>): WasmTensor<D> {
  if (tensor instanceof WasmTensor) return tensor;
  throw new TypeError("This tensor is not in the memory of ONNX Runtime's module.");
}

/** ONNX Runtime on the processors, in a browser. */
export class WasmDevice implements Device {
  readonly name: string;
  readonly target = ONNX_RUNTIME_CPU;
  readonly kernels = hostKernels(this, (tensor, first, count) => this.#rows(tensor, first, count));
  readonly #ort: OrtWeb;
  readonly #eventLoop = new EventLoop();

  /** Opens the module that `factory` makes. More than one thread needs a page that is isolated (COOP and COEP). */
  static async open(
    factory: OrtModuleFactory,
    settings: Omit<Parameters<OrtModuleFactory>[0], "numThreads"> & { readonly threads: number },
  ): Promise<WasmDevice> {
    const { threads, ...others } = settings;
    return new WasmDevice(new OrtWeb(await factory({ ...others, numThreads: threads }), threads));
  }

  private constructor(ort: OrtWeb) {
    this.#ort = ort;
    this.name = `wasm, ${ort.threads} ${ort.threads === 1 ? "thread" : "threads"}`;
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): WasmTensor<D> {
    const elements = elementsOf(dims);
    const address = this.#ort.allocate(elements * ARRAY_OF[dtype].BYTES_PER_ELEMENT);
    const tensor = this.#tensor(dtype, dims, address, () => this.#ort.free(address));
    (tensor.data as { fill(value: number | bigint): void }).fill(dtype === "int64" ? 0n : 0);
    return tensor;
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): WasmTensor<D> {
    const { data } = wasmTensor(tensor);
    if (data.length < elementsOf(dims)) {
      throw new GraphError(`${data.length} elements are too few for a tensor of shape ${showShape(dims)}`);
    }
    return this.#tensor(tensor.dtype, dims, data.byteOffset, () => {});
  }

  /** Rows of a matrix. The tensor must outlive them. */
  #rows<D extends StoredDType>(tensor: DeviceTensor<D>, first: number, count: number): WasmTensor<D> {
    const [, width] = tensor.dims as readonly [number, number];
    const { data } = wasmTensor(tensor);
    const address = data.byteOffset + first * width * data.BYTES_PER_ELEMENT;
    return this.#tensor(tensor.dtype, [count, width], address, () => {});
  }

  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] {
    return wasmTensor(tensor).data;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    setAll(wasmTensor(tensor).data, values);
  }

  async download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    setAll(values, wasmTensor(tensor).data);
  }

  copy(copy: BlockCopy): void {
    copyBlocks(copy, wasmTensor(copy.source).data, wasmTensor(copy.target).data);
  }

  async load(lowered: LoweredGraph): Promise<Session> {
    await this.#eventLoop.breathe();
    const session = new OrtSession(this.#ort, await this.#ort.session(lowered.model), lowered);
    return {
      // A run occupies this thread; before one that comes late, whatever waits for the thread is let in.
      bind: (inputs, outputs) => {
        const [read, written] = [inputs.map(wasmTensor), outputs.map(wasmTensor)];
        return async () => {
          await this.#eventLoop.breathe();
          if ([...read, ...written].some(({ isGone }) => isGone))
            throw new TypeError("A tensor of this run was disposed of.");
          await session.run(
            read.map(({ handle }) => handle),
            written.map(({ handle }) => handle),
          );
        };
      },
      dispose: () => session.dispose(),
    };
  }

  #tensor<D extends StoredDType>(dtype: D, dims: readonly number[], address: Address, free: () => void): WasmTensor<D> {
    const elements = elementsOf(dims);
    const bytes = this.#ort.bytes(address, elements * ARRAY_OF[dtype].BYTES_PER_ELEMENT);
    const data = new ARRAY_OF[dtype](bytes.buffer as ArrayBuffer, address, elements) as HostArrays[D];
    const handle = this.#ort.tensor(ONNX_DTYPE[dtype], address, bytes.length, dims, LOCATION.memory);
    return new WasmTensor(dtype, dims, data, handle, () => {
      this.#ort.module._OrtReleaseTensor(handle);
      free();
    });
  }
}

function setAll(target: HostArray, values: HostArray): void {
  (target as { set(values: HostArray): void }).set(values);
}

function copyBlocks(copy: Omit<BlockCopy, "source" | "target">, source: HostArray, target: HostArray): void {
  const { sourceStart, sourceStride, targetStart, targetStride, count, length } = copy;
  for (let block = 0; block < count; block++) {
    const start = sourceStart + block * sourceStride;
    const part = source.subarray(start, start + length);
    (target as { set(values: HostArray, offset: number): void }).set(part, targetStart + block * targetStride);
  }
}
