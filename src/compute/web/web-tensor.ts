/** Tensors of a browser's devices: handles of ONNX Runtime's module over its memory, or over a buffer of the GPU. */

import { ONNX_DTYPE } from "../../graph/onnx.ts";
import type { DeviceTensor, HostArrays, StoredDType } from "../device.ts";
import { elementBytes, elementsOf, hostArrayOver } from "../host-memory.ts";
import { type Address, LOCATION, type OrtWeb } from "./ort-module.ts";

/** What a device's own kind of tensor adds its data to. */
export abstract class WebTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly handle: Address;
  readonly #release: () => void;
  #isGone = false;

  constructor(dtype: D, dims: readonly number[], handle: Address, release: () => void) {
    this.dtype = dtype;
    this.dims = dims;
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

/** Refuses a run over a tensor that was disposed of. Throws TypeError. */
export function requireThere(tensors: readonly WebTensor[]): void {
  if (tensors.some(({ isGone }) => isGone)) throw new TypeError("A tensor of this run was disposed of.");
}

/** The numbers at an address of the module's memory, and the handle of a tensor over them, to be released. */
export function tensorInMemory<D extends StoredDType>(
  ort: OrtWeb,
  dtype: D,
  dims: readonly number[],
  address: Address,
): { readonly data: HostArrays[D]; readonly handle: Address } {
  const elements = elementsOf(dims);
  const { buffer, length } = ort.bytes(address, elements * elementBytes(dtype));
  const data = hostArrayOver(dtype, buffer as ArrayBuffer, address, elements);
  return { data, handle: ort.tensor(ONNX_DTYPE[dtype], address, length, dims, LOCATION.memory) };
}
