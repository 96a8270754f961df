/**
 * A device that counts what a GPU would be asked for: the CPU behind a wall, for which programs are lowered as for a GPU.
 * Numbers are real, and memory cannot be reached by the host but through transfers, which are counted.
 */

import { CpuDevice } from "../src/compute/cpu/cpu-device.ts";
import type { BlockCopy, Device, DeviceTensor, HostArrays, Session, StoredDType } from "../src/compute/device.ts";
import { GraphKernels } from "../src/compute/graph-kernels.ts";
import { elementsOf } from "../src/compute/host-memory.ts";
import type { LoweredGraph } from "../src/graph/onnx.ts";
import type { LoweringTarget } from "../src/graph/target.ts";

/** What was asked for since the device was made. */
export interface Counted {
  /** Programs that ran. */
  programs: number;
  /** Kernels of these programs: their nodes, but those that compute nothing. */
  launches: number;
  /** Bytes to the device. */
  up: number;
  /** Bytes from the device. */
  down: number;
  /** Transfers from the device: each waits for everything before it. */
  waits: number;
}

/**
 * Nodes that launch nothing: they view memory in another shape, direct a loop on the host, or name a result (which
 * ONNX Runtime removes, unless the result is read elsewhere too).
 */
const NO_LAUNCH: ReadonlySet<string> = new Set(["Reshape", "Squeeze", "Unsqueeze", "Identity", "Loop"]);

/** Kernels of a program; the body of a loop counts once. */
export function launchesOf({ operations }: Pick<LoweredGraph, "operations">): number {
  return [...operations].reduce((sum, [type, count]) => sum + (NO_LAUNCH.has(type) ? 0 : count), 0);
}

const BYTES: Readonly<Record<StoredDType, number>> = {
  ...{ float32: 4, int32: 4, int64: 8, uint8: 1, bfloat16: 2, float16: 2 },
};

/** See the head of this file. */
export class CountingDevice implements Device {
  readonly name = "counting";
  readonly target: LoweringTarget;
  readonly kernels = new GraphKernels(this);
  readonly counted: Counted = { programs: 0, launches: 0, up: 0, down: 0, waits: 0 };
  readonly #cpu: CpuDevice;
  /** Tensors that the host reads and writes in place: sizes and lengths. */
  readonly #onHost = new WeakSet<DeviceTensor>();

  /** Lowers for `target`, whose operations the CPU must have. */
  constructor(target: LoweringTarget, threads: number) {
    this.target = target;
    this.#cpu = CpuDevice.open(threads);
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): DeviceTensor<D> {
    return this.#cpu.allocate(dtype, dims);
  }

  allocateOnHost<D extends StoredDType>(dtype: D, dims: readonly number[]): DeviceTensor<D> {
    const tensor = this.#cpu.allocate(dtype, dims);
    this.#onHost.add(tensor);
    return tensor;
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): DeviceTensor<D> {
    return this.#cpu.view(tensor, dims);
  }

  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] | undefined {
    return this.#onHost.has(tensor) ? this.#cpu.hostMemory(tensor) : undefined;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    this.counted.up += BYTES[tensor.dtype] * elementsOf(tensor.dims);
    this.#cpu.upload(tensor, values);
  }

  async download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    this.counted.down += BYTES[tensor.dtype] * elementsOf(tensor.dims);
    this.counted.waits++;
    await this.#cpu.download(tensor, values);
  }

  copy(copy: BlockCopy): void {
    this.#cpu.copy(copy);
  }

  async load(lowered: LoweredGraph): Promise<Session> {
    const session = await this.#cpu.load(lowered);
    const launches = launchesOf(lowered);
    return {
      bind: (inputs, outputs) => {
        const run = session.bind(inputs, outputs);
        return () => {
          this.counted.programs++;
          this.counted.launches += launches;
          return run();
        };
      },
      dispose: () => session.dispose(),
    };
  }
}
