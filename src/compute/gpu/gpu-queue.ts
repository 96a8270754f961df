/**
 * Calls of ONNX Runtime on a GPU, one after another.
 *
 * The provider takes calls from one thread at a time, and runs are on a worker thread. So what the host does in between
 * (uploads, copies, releases) waits in a queue, and is carried out in order before the next run or download; uploads that
 * follow one another are one transfer.
 */

import { RuntimeFailure } from "../../errors.ts";
import { fromBfloat16, toBfloat16 } from "../../float-formats.ts";
import { heldDType, ONNX_DTYPE } from "../../graph/onnx.ts";
import type { LoweringTarget } from "../../graph/target.ts";
import type { HostArray, StoredDType } from "../device.ts";
import { allocateHost, elementBytes, elementsOf, setAll } from "../host-memory.ts";
import type { NativeEnvironment } from "../ort/environment.ts";
import { type Pointer, pointerArray } from "../ort/ort-api.ts";
import { DeviceMemoryError } from "./faults.ts";
import type { AskedTensor, GpuTensor, NativeValues } from "./gpu-tensor.ts";
import type { GpuProvider } from "./provider.ts";

/** Uploads of so many bytes do not wait for the next run: a model that is read would be in memory twice. */
const MOST_WAITING_BYTES = 2 ** 24;

/** Any number but that of memory which was never written. */
const PROBE = 2;

/** What went between host and device, and what ran: what a step costs beside its arithmetic. */
export interface Traffic {
  /** Bytes to the device. Zeros that stand for memory which was never written are not counted. */
  up: number;
  /** Bytes from the device. */
  down: number;
  /** Transfers from the device: each waits until the device has done everything before it. */
  waits: number;
  /** Programs. */
  runs: number;
}

/** The queue of a device; `allocator` is given when its first session is there. */
export class GpuQueue implements NativeValues {
  readonly traffic: Traffic = { up: 0, down: 0, waits: 0, runs: 0 };
  readonly environment: NativeEnvironment;
  readonly #memory: Pointer;
  #allocator: Pointer = 0n;
  readonly #waiting: (() => void)[] = [];
  /** Uploads at the end of the queue. */
  #uploads: { readonly target: GpuTensor; readonly data: HostArray }[] | undefined;
  #waitingBytes = 0;
  /** The end of everything that was begun. */
  #last: Promise<unknown> = Promise.resolve();
  #isBusy = false;

  readonly #target: LoweringTarget;
  readonly #sureBytes: number;

  constructor(
    environment: NativeEnvironment,
    { memoryName, target, sureBufferBytes = Number.POSITIVE_INFINITY }: GpuProvider,
  ) {
    this.environment = environment;
    this.#sureBytes = sureBufferBytes;
    this.#target = target;
    this.#memory = environment.api.create("CreateMemoryInfo", memoryName, 0, 0, 0);
  }

  /** Memory is taken from the allocator of this session, which must stay. */
  allocateBy(session: Pointer): void {
    this.#allocator = this.environment.api.create("CreateAllocator", session, this.#memory);
  }

  /** Carries `work` out when everything before it is done and nothing waits. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      this.#isBusy = true;
      try {
        this.flush();
        return await work();
      } finally {
        this.#isBusy = false;
      }
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Puts `work`, which waits for nothing, at the end of the queue. */
  enqueue(work: () => void): void {
    this.#uploads = undefined;
    this.#waiting.push(work);
  }

  /** Puts an upload of these elements at the end of the queue; they are copied. */
  upload(target: GpuTensor, values: HostArray): void {
    const held = this.#held(target.dtype);
    const data = allocateHost<StoredDType>(held, elementsOf(target.dims));
    if (held === target.dtype) setAll(data, values);
    else fromBfloat16(values as Uint16Array, data as Float32Array);
    this.traffic.up += data.byteLength;
    this.#upload(target, data);
  }

  #upload(target: GpuTensor, data: HostArray): void {
    if (this.#uploads === undefined) {
      const uploads: { target: GpuTensor; data: HostArray }[] = [];
      this.enqueue(() => this.#transfer(uploads));
      this.#uploads = uploads;
    }
    this.#uploads.push({ target, data });
    this.#waitingBytes += data.byteLength;
    if (this.#waitingBytes > MOST_WAITING_BYTES && !this.#isBusy) this.flush();
  }

  /** Does what waits. */
  flush(): void {
    this.#uploads = undefined;
    this.#waitingBytes = 0;
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) work();
  }

  /** Reads all elements of a tensor. */
  download(source: GpuTensor, values: HostArray): Promise<void> {
    const held = this.#held(source.dtype);
    const data = allocateHost<StoredDType>(held, elementsOf(source.dims));
    this.traffic.down += data.byteLength;
    this.traffic.waits++;
    return this.inTurn(async () => {
      const { api, handle } = this.environment;
      const host = this.hostValue(held, source.dims, data);
      try {
        await api.callAsync("CopyTensors", handle, pointerArray([source.handle]), pointerArray([host]), null, 1);
      } finally {
        api.release("ReleaseValue", host);
      }
      if (held === source.dtype) setAll(values, data);
      else toBfloat16(data as Float32Array, values as Uint16Array);
    });
  }

  /** Copies whole tensors of equal size; for work in the queue. */
  copyTensors(sources: readonly Pointer[], targets: readonly Pointer[]): void {
    const { api, handle } = this.environment;
    api.call("CopyTensors", handle, pointerArray(sources), pointerArray(targets), null, sources.length);
  }

  /** Zeroes what is to be read and was never written. */
  zeroUnlessWritten(tensor: GpuTensor): void {
    const { root } = tensor;
    if (root.isWritten) return;
    root.markWritten();
    this.#upload(root, allocateHost(this.#held(root.dtype), elementsOf(root.dims)));
  }

  /** A native value over host memory. */
  hostValue(dtype: StoredDType, dims: readonly number[], data: HostArray): Pointer {
    return this.#valueOver(this.environment.hostMemory, data, data.byteLength, dtype, dims);
  }

  nativeBuffer(tensor: AskedTensor): Pointer {
    return this.#askingFor(tensor, () => this.#makeBuffer(tensor));
  }

  #makeBuffer({ dtype, dims }: AskedTensor): Pointer {
    const { api } = this.environment;
    const buffer = api.create(
      "CreateTensorAsOrtValue",
      this.#allocator,
      dimsOf(dims),
      dims.length,
      this.#onnxType(dtype),
    );
    if (this.#bytesOf({ dtype, dims }) > this.#sureBytes && !this.#holdsNumbers(buffer)) {
      api.release("ReleaseValue", buffer);
      throw new DeviceMemoryError(new RuntimeFailure("the buffer was not made"));
    }
    return buffer;
  }

  /**
   * Whether a number that is written into a buffer can be read from it. WebGPU makes a buffer that its adapter does not allow all the
   * same, and copies to and from it do nothing, without a word; what a program binds of it is an error, much later.
   */
  #holdsNumbers(buffer: Pointer): boolean {
    const { api } = this.environment;
    const data = allocateHost("float32", 1);
    const host = this.hostValue("float32", [1], data);
    const start = this.#valueOver(this.#memory, api.create("GetTensorMutableData", buffer), 4, "float32", [1]);
    try {
      data[0] = PROBE;
      this.copyTensors([host], [start]);
      data[0] = 0;
      this.copyTensors([start], [host]);
      return data[0] === PROBE;
    } finally {
      for (const value of [host, start]) api.release("ReleaseValue", value);
    }
  }

  nativeView(of: Pointer, dtype: StoredDType, dims: readonly number[]): Pointer {
    const data = this.environment.api.create("GetTensorMutableData", of);
    return this.#valueOver(this.#memory, data, this.#bytesOf({ dtype, dims }), dtype, dims);
  }

  releaseLater(handle: () => Pointer | undefined): void {
    this.enqueue(() => {
      const value = handle();
      if (value !== undefined) this.environment.api.release("ReleaseValue", value);
    });
  }

  #transfer(uploads: readonly { readonly target: GpuTensor; readonly data: HostArray }[]): void {
    const hosts = uploads.map(({ target, data }) => this.hostValue(target.dtype, target.dims, data));
    const handles = uploads.map(({ target }) => target.handle);
    const bytes = (tensor: GpuTensor) => this.#bytesOf(tensor);
    const largest = uploads.reduce(
      (most, { target }) => (bytes(target) > bytes(most) ? target : most),
      uploads[0]!.target,
    );
    try {
      this.#askingFor(largest, () => this.copyTensors(hosts, handles));
    } finally {
      for (const host of hosts) this.environment.api.release("ReleaseValue", host);
    }
  }

  #valueOver(memory: Pointer, data: unknown, bytes: number, dtype: StoredDType, dims: readonly number[]): Pointer {
    const operands = [memory, data, bytes, dimsOf(dims), dims.length, this.#onnxType(dtype)];
    return this.environment.api.create("CreateTensorWithDataAsOrtValue", ...operands);
  }

  /** What `work` returns; an error of memory says that it was for this tensor. */
  #askingFor<T>(tensor: AskedTensor, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof DeviceMemoryError ? error.for(tensor, this.#bytesOf(tensor)) : error;
    }
  }

  #bytesOf({ dtype, dims }: AskedTensor): number {
    return elementBytes(this.#held(dtype)) * elementsOf(dims);
  }

  /** The dtype that memory of a tensor is of, on the device. */
  #held(dtype: StoredDType): StoredDType {
    return heldDType(this.#target, dtype);
  }

  #onnxType(dtype: StoredDType): number {
    return ONNX_DTYPE[this.#held(dtype)];
  }
}

/** Dimensions as the C API reads them, outside of V8's heap; a scalar has none. */
function dimsOf(dims: readonly number[]): BigInt64Array {
  const native = new BigInt64Array(new ArrayBuffer(Math.max(64, 8 * dims.length)), 0, Math.max(1, dims.length));
  for (const [axis, size] of dims.entries()) native[axis] = BigInt(size);
  return native;
}
