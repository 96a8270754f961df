/**
 * A GPU, through an execution provider of ONNX Runtime: the device seam over its C API.
 *
 * Tensors are buffers on the device and stay there. What the host does with them waits in a queue (`gpu-queue.ts`). A node
 * that no kernel of the device has is refused when a program is compiled, by name (`gpu-session.ts`): nothing falls back to
 * the processors unseen.
 */

import { AhaError, DeviceLostError, GraphError, RuntimeFailure } from "../../errors.ts";
import { type LoweredGraph, lowerToOnnx } from "../../graph/onnx.ts";
import type { LoweringTarget } from "../../graph/target.ts";
import type { HalfDType } from "../../graph/tensor-type.ts";
import type { BlockCopy, Device, DeviceTensor, HostArrays, StoredDType, TensorUse } from "../device.ts";
import { GraphKernels } from "../graph-kernels.ts";
import { allocateHost, elementsOf, requireElements } from "../host-memory.ts";
import { type NativeEnvironment, OrtEnvironment } from "../ort/environment.ts";
import { versionWarning } from "../ort/version.ts";
import { requireComputes, triedResults } from "../try-out.ts";
import { rowCopyGraph, rowCopyOf } from "./block-copy.ts";
import { DeviceMemoryError, explaining } from "./faults.ts";
import { GpuQueue, type Traffic } from "./gpu-queue.ts";
import { compileSession, GpuSession } from "./gpu-session.ts";
import { GpuTensor, HostTensor } from "./gpu-tensor.ts";
import type { GpuProvider } from "./provider.ts";

/** A GPU; see the head of this file. */
export class GpuDevice implements Device {
  static readonly #opened = new Map<GpuProvider, Promise<GpuDevice>>();
  readonly name: string;
  readonly target: LoweringTarget;
  readonly warnings: readonly string[];
  readonly kernels = new GraphKernels(this);
  readonly #provider: GpuProvider;
  readonly #queue: GpuQueue;
  /** Programs that copy rows, by dtype. */
  readonly #copiers = new Map<StoredDType, GpuSession>();
  readonly #halves = new Map<HalfDType, Promise<void>>();

  /**
   * The process's device of this provider.
   *
   * @throws AhaError that says what to install, where this machine has none.
   */
  static open(provider: GpuProvider, threads: number): Promise<GpuDevice> {
    let opened = GpuDevice.#opened.get(provider);
    if (opened === undefined) {
      // Not at once: what throws is an opening that failed, too.
      opened = (async () => GpuDevice.over(OrtEnvironment.open(threads), provider))();
      GpuDevice.#opened.set(provider, opened);
      // Whoever mends what was missing may try again.
      opened.catch(() => GpuDevice.#opened.delete(provider));
    }
    return opened;
  }

  /** A device of its own over an environment; programs take the process's (`open`). */
  static async over(native: NativeEnvironment, provider: GpuProvider): Promise<GpuDevice> {
    const environment = explaining(native);
    try {
      provider.prepare(environment);
      const { graph, outputs } = rowCopyGraph();
      const lowered = lowerToOnnx(graph, outputs, provider.target);
      const session = await compileSession(environment, provider, lowered);
      const queue = new GpuQueue(environment, provider);
      queue.allocateBy(session);
      const version = versionWarning(environment.api);
      const device = new GpuDevice(provider, queue, version === undefined ? [] : [version]);
      device.#copiers.set("float32", new GpuSession(queue, session, lowered));
      await requireComputes(device);
      return device;
    } catch (error) {
      if (error instanceof DeviceMemoryError) {
        throw new AhaError(
          `${provider.name} is here, and has no memory left to compute a little: ${error.reason}. End what else computes ` +
            "there, or compute on the processors: engine.device: cpu (--device cpu).",
          { cause: error },
        );
      }
      const failure = error instanceof DeviceLostError ? error.cause : error;
      if (!(failure instanceof RuntimeFailure)) throw error;
      throw new AhaError(provider.absence(reasonOf(failure)), { cause: error });
    }
  }

  private constructor(provider: GpuProvider, queue: GpuQueue, warnings: readonly string[]) {
    this.#provider = provider;
    this.#queue = queue;
    this.name = provider.name;
    this.target = provider.target;
    this.warnings = warnings;
  }

  /** Bytes and runs since the device was opened. */
  get traffic(): Readonly<Traffic> {
    return this.#queue.traffic;
  }

  /** A driver may lack numbers of 16 bits (WebGPU's feature shader-f16), which shows when a program of them runs. */
  requireHalf(dtype: HalfDType): Promise<void> {
    let tried = this.#halves.get(dtype);
    if (tried === undefined) {
      tried = this.#tryHalf(dtype);
      this.#halves.set(dtype, tried);
    }
    return tried;
  }

  async #tryHalf(dtype: HalfDType): Promise<void> {
    try {
      const result = await triedResults(this, dtype);
      // 1 + 2⁻¹², which neither dtype has, is rounded to 1.
      if (result.join() !== "2,2,12,2")
        throw new RuntimeFailure(`x² + x of 1, −2, 3 and 1.0002 is ${result.join(", ")}`);
      const copy = rowCopyGraph(dtype);
      this.#copiers.set(dtype, await this.load(lowerToOnnx(copy.graph, copy.outputs, this.target)));
    } catch (error) {
      if (error instanceof DeviceLostError || !(error instanceof RuntimeFailure || error instanceof AhaError))
        throw error;
      throw new AhaError(
        `${this.name} cannot compute in ${dtype} here: ${reasonOf(error)}. Take float32 for engine.dtype (--dtype).`,
        { cause: error },
      );
    }
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[], use?: TensorUse): GpuTensor<D> {
    return new GpuTensor(this.#queue, dtype, dims, { use });
  }

  allocateOnHost<D extends StoredDType>(dtype: D, dims: readonly number[]): HostTensor<D> {
    const data = allocateHost(dtype, elementsOf(dims));
    return new HostTensor(this.#queue, dtype, dims, data, this.#queue.hostValue(dtype, dims, data));
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): GpuTensor<D> {
    const whole = gpuTensor(tensor);
    requireElements(elementsOf(tensor.dims), dims);
    return new GpuTensor(this.#queue, tensor.dtype, dims, { whole });
  }

  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] | undefined {
    return tensor instanceof HostTensor ? (tensor.data as HostArrays[D]) : undefined;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    const target = gpuTensor(tensor);
    if (target.isPart) this.#queue.zeroUnlessWritten(target);
    else target.markWritten();
    this.#queue.upload(target as unknown as GpuTensor, values);
  }

  async download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    const source = gpuTensor(tensor) as unknown as GpuTensor;
    this.#queue.zeroUnlessWritten(source);
    await this.#queue.download(source, values);
  }

  copy(copy: BlockCopy): void {
    const [source, target] = [gpuTensor(copy.source), gpuTensor(copy.target)];
    if (copy.count === 0 || copy.length === 0) return;
    const [from, to] = [elementsOf(source.dims), elementsOf(target.dims)];
    this.#queue.zeroUnlessWritten(source);
    const isWhole = copy.count === 1 && copy.length === from && copy.length === to && !target.isPart;
    if (isWhole) {
      target.markWritten();
      this.#queue.enqueue(() => this.#queue.copyTensors([source.handle], [target.handle]));
      return;
    }
    const copier = this.#copiers.get(source.dtype);
    if (copier === undefined) {
      throw new GraphError(`parts of ${source.dtype} tensors are not copied on ${this.name}: only those of floats are`);
    }
    this.#queue.zeroUnlessWritten(target);
    const { width, from: sourceRows, to: targetRows } = rowCopyOf(copy, from, to);
    const index = (dims: readonly number[], rows: BigInt64Array): GpuTensor => {
      const tensor = this.allocate("int64", dims);
      this.upload(tensor, rows);
      return tensor as unknown as GpuTensor;
    };
    const indices = [index([sourceRows.length], sourceRows), index([targetRows.length, 1], targetRows)] as const;
    const matrices = [this.view(source, [from / width, width]), this.view(target, [to / width, width])] as const;
    this.#queue.enqueue(() => {
      copier.runNow([matrices[0], indices[0], matrices[1], indices[1]], [matrices[1]]);
    });
    // Only now, for the work above is done later.
    this.#queue.enqueue(() => {
      for (const tensor of [...indices, ...matrices]) tensor.dispose();
    });
  }

  async load(lowered: LoweredGraph): Promise<GpuSession> {
    const session = await this.#queue.inTurn(() => compileSession(this.#queue.environment, this.#provider, lowered));
    return new GpuSession(this.#queue, session, lowered);
  }
}

function gpuTensor<D extends StoredDType>(tensor: DeviceTensor<D>): GpuTensor<D> {
  if (tensor instanceof GpuTensor) return tensor;
  throw new TypeError("This tensor is not in the memory of a GPU.");
}

/** ONNX Runtime's reason, without the places in its sources. */
function reasonOf({ message }: Error): string {
  const own = message.replace(/^ONNX Runtime, \w+: /, "");
  return own
    .replace(/^.* was false\. /s, "")
    .trim()
    .replace(/\.$/, "");
}
