/**
 * Numbers between the host and a device. On a device whose tensors lie in host memory nothing is copied here: `data` is
 * the tensor's own memory. On another one it is memory beside the tensor, and `upload` and `read` are transfers.
 */

import { GraphError } from "../errors.ts";
import { showShape } from "../graph/dim.ts";
import type { BlockCopy, Device, DeviceTensor, HostArray, HostArrays, StoredDType } from "./device.ts";
import type { Disposable } from "./scope.ts";

/** The kinds of `HostArrays`. */
const ARRAY_KINDS = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
} as const satisfies Record<StoredDType, unknown>;

/** Bytes of an element. */
export const elementBytes = (dtype: StoredDType): number => ARRAY_KINDS[dtype].BYTES_PER_ELEMENT;

/** `length` elements from the byte `at` of a buffer on. */
export function hostArrayOver<D extends StoredDType>(
  dtype: D,
  buffer: ArrayBuffer,
  at: number,
  length: number,
): HostArrays[D] {
  return new ARRAY_KINDS[dtype as StoredDType](buffer, at, length) as HostArrays[D];
}

/** Zeroed host memory for `length` elements, outside of V8's heap, so that its address never changes. */
export function allocateHost<D extends StoredDType>(dtype: D, length: number): HostArrays[D] {
  return hostArrayOver(dtype, bytesFor(elementBytes(dtype) * length), 0, length);
}

/** V8 keeps arrays of less than 64 bytes on its own heap and may move them, so at least 64 bytes are allocated. */
function bytesFor(bytes: number): ArrayBuffer {
  return new ArrayBuffer(Math.max(bytes, 64));
}

/** Elements of a tensor of this shape. */
export function elementsOf(dims: readonly number[]): number {
  return dims.reduce((product, size) => product * size, 1);
}

/** Throws GraphError where `found` elements are too few for a tensor of this shape. */
export function requireElements(found: number, dims: readonly number[]): void {
  if (found >= elementsOf(dims)) return;
  throw new GraphError(`${found} elements are too few for a tensor of shape ${showShape(dims)}`);
}

/** Copies all values, which are of the target's kind, into it from `offset` on. */
export function setAll(target: HostArray, values: HostArray, offset = 0): void {
  (target as { set(values: HostArray, offset: number): void }).set(values, offset);
}

/** A `BlockCopy` between host arrays. */
export function copyBlocks(copy: Omit<BlockCopy, "source" | "target">, source: HostArray, target: HostArray): void {
  const { sourceStart, sourceStride, targetStart, targetStride, count, length } = copy;
  for (let block = 0; block < count; block++) {
    const start = sourceStart + block * sourceStride;
    setAll(target, source.subarray(start, start + length), targetStart + block * targetStride);
  }
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
