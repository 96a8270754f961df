/**
 * What a pass over data computed and left on the device, until all of it is read in one transfer: alone, or in a training
 * step together with the norm of the gradient.
 */

import type { DeviceTensor, Kernels } from "../../compute/device.ts";
import type { PreparedCall } from "../../compute/program.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";

type FloatTensor = DeviceTensor<"float32">;

/** Results of type `T`. Dispose of them, or `read` them, which does. */
export class PendingResults<T> implements Disposable {
  readonly #scope = new Scope();
  readonly #tensors: FloatTensor[] = [];
  readonly #takers: ((numbers: Float32Array) => void)[] = [];
  readonly #result: () => T;

  private constructor(result: () => T) {
    this.#result = result;
  }

  /** What `work` keeps; `result` is asked for when every `take` has had its numbers. */
  static async of<T>(work: (pending: PendingResults<T>) => Promise<void>, result: () => T): Promise<PendingResults<T>> {
    const pending = new PendingResults(result);
    try {
      await work(pending);
      return pending;
    } catch (error) {
      pending.dispose();
      throw error;
    }
  }

  /** Keeps a float32 output beyond the call that made it; `take` gets its numbers. Nothing where the program has none of this name. */
  keep(call: PreparedCall, name: string, take: (numbers: Float32Array) => void): void {
    const tensor = call.handOver(name) as FloatTensor | undefined;
    if (tensor === undefined) return;
    this.#tensors.push(this.#scope.hold(tensor));
    this.#takers.push(take);
  }

  /** What is to be read. */
  get tensors(): readonly FloatTensor[] {
    return this.#tensors;
  }

  /** The result, from the numbers of `tensors`. */
  from(numbers: readonly Float32Array[]): T {
    for (const [i, take] of this.#takers.entries()) take(numbers[i]!);
    return this.#result();
  }

  /** Reads them. */
  async read(kernels: Kernels): Promise<T> {
    try {
      return this.from(await kernels.readAll(this.#tensors));
    } finally {
      this.dispose();
    }
  }

  dispose(): void {
    this.#scope.dispose();
  }
}
