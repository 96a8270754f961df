/**
 * Numbers between the host and a device. On a device whose tensors lie in host memory nothing is copied here: `data` is
 * the tensor's own memory. On another one it is memory beside the tensor, and `upload` and `read` are transfers.
 */

import type { Device, DeviceTensor, HostArrays, StoredDType } from "./device.ts";
import type { Disposable } from "./scope.ts";

/** Zeroed host memory for `length` elements, outside of V8's heap, so that its address never changes. */
export function allocateHost<D extends StoredDType>(dtype: D, length: number): HostArrays[D] {
  const array = (): HostArrays[StoredDType] => {
    switch (dtype as StoredDType) {
      case "float32":
        return new Float32Array(bytesFor(4 * length), 0, length);
      case "int32":
        return new Int32Array(bytesFor(4 * length), 0, length);
      case "int64":
        return new BigInt64Array(bytesFor(8 * length), 0, length);
      case "bfloat16":
      case "float16":
        return new Uint16Array(bytesFor(2 * length), 0, length);
      case "uint8":
        return new Uint8Array(bytesFor(length), 0, length);
    }
  };
  return array() as HostArrays[D];
}

/** V8 keeps arrays of less than 64 bytes on its own heap and may move them, so at least 64 bytes are allocated. */
function bytesFor(bytes: number): ArrayBuffer {
  return new ArrayBuffer(Math.max(bytes, 64));
}

/** Elements of a tensor of this shape. */
export function elementsOf(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** A tensor that the host fills: it writes into `data`, then calls `upload`. */
export class HostInput<D extends StoredDType> implements Disposable {
  readonly tensor: DeviceTensor<D>;
  readonly data: HostArrays[D];
  /** Copies `data` to the tensor. On the CPU `data` is the tensor's own memory, so nothing is copied. */
  readonly upload: () => void;

  /** `onHost`: the operation that takes it reads it from the host's memory, where a device's operations do so. */
  constructor(
    device: Device,
    dtype: D,
    dims: readonly number[],
    { onHost = false }: { readonly onHost?: boolean } = {},
  ) {
    this.tensor = (onHost && device.allocateOnHost?.(dtype, dims)) || device.allocate(dtype, dims);
    const own = device.hostMemory(this.tensor);
    this.data = own ?? allocateHost(dtype, elementsOf(dims));
    this.upload = own ? () => {} : () => device.upload(this.tensor, this.data);
  }

  dispose(): void {
    this.tensor.dispose();
  }
}

/** A new tensor with these numbers. */
export function tensorOf<D extends "float32" | "int32" | "int64">(
  device: Device,
  dtype: D,
  dims: readonly number[],
  values: HostArrays[D],
): DeviceTensor<D> {
  const tensor = device.allocate(dtype, dims);
  device.upload(tensor, values);
  return tensor;
}

/** Fills a tensor with what `write` puts into the memory that it is given. */
export async function fill<D extends StoredDType>(
  device: Device,
  tensor: DeviceTensor<D>,
  write: (data: HostArrays[D]) => void | Promise<void>,
): Promise<void> {
  const own = device.hostMemory(tensor);
  const data = own ?? allocateHost(tensor.dtype, elementsOf(tensor.dims));
  await write(data);
  if (own === undefined) device.upload(tensor, data);
}

/** The numbers of a tensor, to be read only: on the CPU its memory, which the next program may change. */
export async function read<D extends StoredDType>(device: Device, tensor: DeviceTensor<D>): Promise<HostArrays[D]> {
  const own = device.hostMemory(tensor);
  if (own !== undefined) return own;
  const data = allocateHost(tensor.dtype, elementsOf(tensor.dims));
  await device.download(tensor, data);
  return data;
}
