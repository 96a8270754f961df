/**
 * A device out of the host's reach, for tests: the CPU behind a wall. Its tensors show nothing but their shape, it has none
 * of the operations that lowering can do without, and its kernels are programs. Memory that was released is overwritten, so
 * that whoever still uses it computes with numbers that are none.
 */

import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { BlockCopy, Device, DeviceTensor, HostArrays, Session, StoredDType } from "../../src/compute/device.ts";
import { GraphKernels } from "../../src/compute/graph-kernels.ts";
import type { LoweredGraph } from "../../src/graph/onnx.ts";
import type { LoweringTarget } from "../../src/graph/target.ts";

/** Lowering does without everything that it can do without. */
export const BARE_TARGET: LoweringTarget = {
  lacks: new Set(["FusedMatMul", "Sum", "SimplifiedLayerNormalization.inverse", "ScatterElements.add", "int64"]),
  computes: new Set(),
  emulates: new Set(["bfloat16", "float16"]),
  mostNewPositions: 7,
};

class OpaqueTensor<D extends StoredDType = StoredDType> implements DeviceTensor<D> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly #behind: DeviceTensor<D>;
  readonly #onDispose: () => void;
  #isGone = false;

  constructor(behind: DeviceTensor<D>, onDispose: () => void) {
    this.dtype = behind.dtype;
    this.dims = behind.dims;
    this.#behind = behind;
    this.#onDispose = onDispose;
  }

  static behind<D extends StoredDType>(tensor: DeviceTensor<D>): DeviceTensor<D> {
    if (!(tensor instanceof OpaqueTensor)) throw new TypeError("this tensor is of another device");
    if (tensor.#isGone) throw new TypeError("this tensor was disposed of");
    return tensor.#behind;
  }

  dispose(): void {
    if (this.#isGone) return;
    this.#onDispose();
    this.#behind.dispose();
    this.#isGone = true;
  }
}

const { behind } = OpaqueTensor;

export class OpaqueDevice implements Device {
  readonly name = "opaque";
  readonly target = BARE_TARGET;
  readonly kernels = new GraphKernels(this);
  /** Elements that went to the device and came from it. */
  readonly moved = { up: 0, down: 0 };
  /** Tensors that are held now, views included. */
  held = 0;
  readonly #cpu: CpuDevice;

  constructor(threads: number) {
    this.#cpu = CpuDevice.open(threads);
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): DeviceTensor<D> {
    const own = this.#cpu.allocate(dtype, dims);
    return this.#hold(own, () => {
      if (own.dtype === "float32") (own.data as Float32Array).fill(Number.NaN);
    });
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): DeviceTensor<D> {
    return this.#hold(this.#cpu.view(behind(tensor), dims), () => {});
  }

  hostMemory(): undefined {
    return undefined;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    this.moved.up += values.length;
    this.#cpu.upload(behind(tensor), values);
  }

  async download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    this.moved.down += values.length;
    // Not at once: who reads must wait.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#cpu.download(behind(tensor), values);
  }

  copy({ source, target, ...places }: BlockCopy): void {
    this.#cpu.copy({ source: behind(source), target: behind(target), ...places });
  }

  async load(lowered: LoweredGraph): Promise<Session> {
    const session = await this.#cpu.load(lowered);
    return {
      bind: (inputs, outputs) => {
        const run = session.bind(inputs.map(behind), outputs.map(behind));
        return () => {
          for (const tensor of [...inputs, ...outputs]) behind(tensor);
          return run();
        };
      },
      dispose: () => session.dispose(),
    };
  }

  #hold<D extends StoredDType>(own: DeviceTensor<D>, onDispose: () => void): DeviceTensor<D> {
    this.held++;
    return new OpaqueTensor(own, () => {
      this.held--;
      onDispose();
    });
  }
}
