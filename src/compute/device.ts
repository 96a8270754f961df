/**
 * The device interface: what the engine needs from the hardware that computes.
 *
 * A tensor is opaque. Only the device knows where its numbers are: on the CPU in memory that this program reads and
 * writes in place, on a GPU in memory that it cannot reach. `host-memory.ts` brings numbers in and out, which is free
 * on the CPU and a transfer elsewhere. What a training step does besides running programs (adding gradients up, AdamW,
 * drawing tokens) is `Kernels`: loops over arrays on the CPU; `graph-kernels.ts` makes them of a device's own programs.
 *
 * A new device is one object of `DeviceKind` in the registry (`devices.ts`). It needs memory, copies, and a way to run an
 * ONNX model.
 */

import type { LoweredGraph } from "../graph/onnx.ts";
import type { LoweringTarget } from "../graph/target.ts";
import type { DType, FloatDType, HalfDType } from "../graph/tensor-type.ts";
import type { AdamWOptions } from "../optim/adamw.ts";
import type { Draw, DrawRequest } from "./draw-token.ts";
import type { Disposable } from "./scope.ts";

/** The array that holds the elements of a dtype in host memory. */
export interface HostArrays {
  readonly float32: Float32Array;
  readonly int32: Int32Array;
  readonly int64: BigInt64Array;
  readonly uint8: Uint8Array;
  /** The upper halves of f32 numbers. */
  readonly bfloat16: Uint16Array;
  /** The bits of IEEE 754's binary16. */
  readonly float16: Uint16Array;
}

/** Dtypes of tensors that are passed between programs; bool is used only within a program. */
export type StoredDType = keyof HostArrays & DType;

/** Numbers in host memory. */
export type HostArray = HostArrays[StoredDType];

/** What long-lived tensors are for: where there is no memory for one, the use decides what helps. */
export type TensorUse = "weights" | "gradients and moments" | "key-value cache";

/** A tensor on a device. */
export interface DeviceTensor<D extends StoredDType = StoredDType> extends Disposable {
  readonly dtype: D;
  readonly dims: readonly number[];
}

/** Runs of `length` elements, `count` of them, from one tensor to another; places and strides in elements. */
export interface BlockCopy<D extends StoredDType = StoredDType> {
  readonly source: DeviceTensor<D>;
  readonly sourceStart: number;
  readonly sourceStride: number;
  readonly target: DeviceTensor<D>;
  readonly targetStart: number;
  readonly targetStride: number;
  readonly count: number;
  readonly length: number;
}

/** A model that the device has compiled. */
export interface Session extends Disposable {
  /** Fixes what a run reads and writes, in the order of the lowered graph's inputs (its shape inputs last) and outputs. */
  bind(inputs: readonly DeviceTensor[], outputs: readonly DeviceTensor[]): () => Promise<void>;
}

/** One parameter and what the optimizer keeps for it; tensors of one shape. */
export interface OptimizedTensor {
  readonly values: DeviceTensor<"float32">;
  readonly gradient: DeviceTensor<"float32">;
  readonly firstMoment: DeviceTensor<"float32">;
  readonly secondMoment: DeviceTensor<"float32">;
  /** Decoupled decay applies: true for matrices, false for gains and biases. */
  readonly decays: boolean;
}

/** What is computed with tensors outside of programs. */
export interface Kernels {
  /** sums[i] ← sums[i] + addends[i] */
  add(sums: readonly DeviceTensor<"float32">[], addends: readonly DeviceTensor<"float32">[]): Promise<void>;
  /** targets[i] ← (1 − share) · targets[i] + share · others[i] */
  mix(
    targets: readonly DeviceTensor<"float32">[],
    others: readonly DeviceTensor<"float32">[],
    share: number,
  ): Promise<void>;
  /** targets[i] ← sources[i], rounded to 16 bits. */
  round(sources: readonly DeviceTensor<"float32">[], targets: readonly DeviceTensor<HalfDType>[]): Promise<void>;
  /** √Σ x² over all elements of all tensors, and the numbers of `others`, as `readAll` gives them, in the same transfer. */
  norm(
    tensors: readonly DeviceTensor<"float32">[],
    others: readonly DeviceTensor<"float32">[],
  ): Promise<{ readonly norm: number; readonly others: readonly Float32Array[] }>;
  /** The numbers of all tensors, in one transfer; to be read only, and only until the next program runs. */
  readAll(tensors: readonly DeviceTensor<"float32">[]): Promise<Float32Array[]>;
  /** Step number `step` (from 1) of AdamW with gradients times `gradientScale`; the formula is in `optim/adamw.ts`. */
  adamW(
    parameters: readonly OptimizedTensor[],
    step: number,
    gradientScale: number,
    options: AdamWOptions,
  ): Promise<void>;
  /** Draws a token for each request from its row of `logits` [B, V]. A draw whose logits are not finite has a
   * log-probability that is NaN. */
  draw(logits: DeviceTensor<"float32">, requests: readonly DrawRequest[]): Promise<Draw[]>;
}

/** An opened device. One computation runs at a time: models that share a device take turns. */
export interface Device {
  /** For messages: `cpu, 2 threads`. */
  readonly name: string;
  /** What its kernels offer to lowering. */
  readonly target: LoweringTarget;
  readonly kernels: Kernels;
  /** What a user should know of it when it is opened, such as a library of another version. */
  readonly warnings?: readonly string[];

  /** A new tensor of zeros. `use`: what it is for; absent: to compute with. */
  allocate<D extends StoredDType>(dtype: D, dims: readonly number[], use?: TensorUse): DeviceTensor<D>;
  /**
   * A tensor of zeros in the host's memory that programs of this device read all the same: what operations take from
   * there (shapes, lengths). Absent where that is any tensor.
   */
  allocateOnHost?<D extends StoredDType>(dtype: D, dims: readonly number[]): DeviceTensor<D>;
  /** The first elements of a tensor's memory, in another shape. The tensor must outlive it. */
  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): DeviceTensor<D>;
  /** The memory that a tensor lies in, where it is the host's; undefined where it is not. */
  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] | undefined;
  /** Writes all elements; `values` may be used again at once. */
  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void;
  /** Reads all elements into `values`. */
  download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void>;
  /** Copies between tensors of the device, which may be one where the blocks do not overlap. */
  copy(copy: BlockCopy): void;
  /** Compiles a model. */
  load(lowered: LoweredGraph): Promise<Session>;
  /** Throws AhaError, saying what to do, where programs cannot compute in this dtype; absent where they can in all. */
  requireHalf?(dtype: HalfDType): Promise<void>;
}

/** Memory of a GPU. */
export interface DeviceMemory {
  readonly name: string;
  readonly bytes: number;
  /** Not taken by others, where the driver says it. */
  readonly freeBytes?: number;
}

/** A GPU as its driver calls it. */
export interface DeviceAdapter {
  readonly name: string;
  readonly vendor?: string;
  /** Version of the driver. */
  readonly driver?: string;
  /** It is no GPU: its driver computes on the processors. */
  readonly isSoftware: boolean;
}

/** What a device is opened for. */
export interface OpenOptions {
  readonly threads: number;
  /** What layers will compute in; float32 if absent. Of a name that stands for several devices it decides which. */
  readonly dtype?: FloatDType;
}

/** A device as the registry lists it. */
export interface DeviceKind {
  /** What a recipe calls it (`engine.device`). */
  readonly name: string;
  /** What it is, in a few words. */
  readonly summary: string;
  /** What its kernels offer, which is known before it is opened; absent where the name stands for several devices. */
  readonly target?: LoweringTarget;
  /** Opens it for this process. Throws AhaError where this machine does not have it. */
  open(options: OpenOptions): Promise<Device>;
  /** Memory of the GPUs that it may compute on, the one that it takes first, as far as drivers say it; absent: the host's. */
  memories?(): Promise<readonly DeviceMemory[]>;
  /** What it may compute on, the one that it takes first; undefined where no driver says it. Absent: the processors. */
  adapters?(): Promise<readonly DeviceAdapter[] | undefined>;
  /** Of a name that stands for several devices: the name of the one that `open` opens here. Throws AhaError. */
  resolve?(options: OpenOptions): Promise<string>;
}
