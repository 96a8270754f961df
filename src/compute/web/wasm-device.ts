/**
 * The processors, from a browser: ONNX Runtime as WebAssembly, with SIMD, and with threads where the page may have them.
 *
 * It is the CPU device once more (`compute/cpu/`), with the module's memory in the place of the process's: tensors are views
 * of it, programs read and write them in place, and nothing is copied on the way in or out.
 */

import type { LoweredGraph } from "../../graph/onnx.ts";
import { ONNX_RUNTIME_CPU } from "../../graph/target.ts";
import type { BlockCopy, Device, DeviceTensor, HostArrays, Session, StoredDType } from "../device.ts";
import { hostKernels } from "../host-kernels.ts";
import { copyBlocks, elementBytes, elementsOf, requireElements, setAll } from "../host-memory.ts";
import { EventLoop } from "./event-loop.ts";
import { type Address, type OrtModuleFactory, OrtSession, OrtWeb } from "./ort-module.ts";
import { requireThere, tensorInMemory, WebTensor } from "./web-tensor.ts";

/** A tensor in the module's memory. */
class WasmTensor<D extends StoredDType = StoredDType> extends WebTensor<D> {
  readonly data: HostArrays[D];

  constructor(dtype: D, dims: readonly number[], data: HostArrays[D], handle: Address, release: () => void) {
    super(dtype, dims, handle, release);
    this.data = data;
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
    const address = this.#ort.allocate(elementsOf(dims) * elementBytes(dtype));
    const tensor = this.#tensor(dtype, dims, address, () => this.#ort.free(address));
    (tensor.data as { fill(value: number | bigint): void }).fill(dtype === "int64" ? 0n : 0);
    return tensor;
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): WasmTensor<D> {
    const { data } = wasmTensor(tensor);
    requireElements(data.length, dims);
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
          requireThere([...read, ...written]);
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
    const { data, handle } = tensorInMemory(this.#ort, dtype, dims, address);
    return new WasmTensor(dtype, dims, data, handle, () => {
      this.#ort.module._OrtReleaseTensor(handle);
      free();
    });
  }
}
