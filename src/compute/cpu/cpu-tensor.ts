/** Tensors of the CPU device. */

import type { DeviceTensor, HostArrays, StoredDType } from "../device.ts";
import type { Pointer } from "../ort/ort-api.ts";

/** A tensor in host memory, with the native handle that programs know it by. */
export class CpuTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: HostArrays[D];
  readonly handle: Pointer;
  readonly #release: (handle: Pointer) => void;
  #disposed = false;

  constructor(
    dtype: D,
    dims: readonly number[],
    data: HostArrays[D],
    handle: Pointer,
    release: (handle: Pointer) => void,
  ) {
    this.dtype = dtype;
    this.dims = dims;
    this.data = data;
    this.handle = handle;
    this.#release = release;
  }

  dispose(): void {
    if (!this.#disposed) this.#release(this.handle);
    this.#disposed = true;
  }
}

/** The numbers of a tensor of the CPU device. */
export function cpuTensor<D extends StoredDType>(tensor: DeviceTensor<D>): CpuTensor<D> {
  if (tensor instanceof CpuTensor) return tensor;
  throw new TypeError("This tensor is of another device than the CPU.");
}
