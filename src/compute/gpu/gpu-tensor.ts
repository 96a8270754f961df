/** Tensors of a GPU: handles of native values, made when a run first needs them. */

import type { DeviceTensor, HostArrays, StoredDType, TensorUse } from "../device.ts";
import { elementsOf } from "../host-memory.ts";
import type { Pointer } from "../ort/ort-api.ts";

/** A tensor that memory is asked for. */
export interface AskedTensor {
  readonly dtype: StoredDType;
  readonly dims: readonly number[];
  /** Absent: to compute with. */
  readonly use?: TensorUse | undefined;
}

/** What makes and releases native values. */
export interface NativeValues {
  /** A buffer of the device's own, of whatever content. */
  nativeBuffer(tensor: AskedTensor): Pointer;
  /** Another value over the same buffer. */
  nativeView(of: Pointer, dtype: StoredDType, dims: readonly number[]): Pointer;
  /** Gives the value up, where there is one by then, when everything that was asked of the device before is done. */
  releaseLater(handle: () => Pointer | undefined): void;
}

/**
 * A buffer on the device, or the first elements of another one's.
 *
 * Memory is taken at the first use, and zeroed only where it is read before it was written: what a program writes whole,
 * as its results are, need not be.
 */
export class GpuTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  /** The tensor that this one is a view of. */
  readonly whole: GpuTensor<D> | undefined;
  readonly use: TensorUse | undefined;
  readonly #native: NativeValues;
  #handle: Pointer | undefined;
  /** Something is in its memory that was put there; of a view its root is asked. */
  #isWritten = false;
  #isGone = false;
  #isReleased = false;

  constructor(
    native: NativeValues,
    dtype: D,
    dims: readonly number[],
    { whole, use }: { whole?: GpuTensor<D>; use?: TensorUse | undefined } = {},
  ) {
    this.#native = native;
    this.dtype = dtype;
    this.dims = dims;
    this.whole = whole?.root;
    this.use = use ?? whole?.use;
  }

  /** The tensor that owns the memory. */
  get root(): GpuTensor<D> {
    return this.whole ?? this;
  }

  /** It is not all of the memory that it lies in. */
  get isPart(): boolean {
    return elementsOf(this.dims) < elementsOf(this.root.dims);
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  get isWritten(): boolean {
    return this.root.#isWritten;
  }

  markWritten(): void {
    this.root.#isWritten = true;
  }

  /** The native value; work that was begun before the tensor was disposed of still has it. */
  get handle(): Pointer {
    if (this.#isReleased) throw new TypeError("This tensor was disposed of.");
    this.#handle ??=
      this.whole === undefined
        ? this.#native.nativeBuffer(this)
        : this.#native.nativeView(this.whole.handle, this.dtype, this.dims);
    return this.#handle;
  }

  dispose(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#native.releaseLater(() => {
      this.#isReleased = true;
      return this.#handle;
    });
  }
}

/** A tensor in the host's memory that programs of the device read. */
export class HostTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: HostArrays[D];
  readonly handle: Pointer;
  readonly #native: Pick<NativeValues, "releaseLater">;
  isGone = false;

  constructor(
    native: Pick<NativeValues, "releaseLater">,
    dtype: D,
    dims: readonly number[],
    data: HostArrays[D],
    handle: Pointer,
  ) {
    this.#native = native;
    this.dtype = dtype;
    this.dims = dims;
    this.data = data;
    this.handle = handle;
  }

  dispose(): void {
    if (!this.isGone) this.#native.releaseLater(() => this.handle);
    this.isGone = true;
  }
}
