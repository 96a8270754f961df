/**
 * A GPU from a browser: ONNX Runtime's WebGPU provider as WebAssembly, over buffers of the browser's `GPUDevice`.
 *
 * Tensors are buffers, and stay on the GPU; copies are the queue's own. What a browser forbids is a buffer that a kernel reads
 * and writes: results that are to replace an operand are written beside it and copied over. A key-value cache is the exception,
 * whose kernel only adds rows. What WebGPU lacks is the same as natively (`graph/target.ts`).
 *
 * Calls are made one after another, because the module waits for the GPU in the middle of them.
 */

import { AhaError, DeviceLostError, RuntimeFailure } from "../../errors.ts";
import { fromBfloat16, toBfloat16 } from "../../float-formats.ts";
import { heldDType, type LoweredGraph, ONNX_DTYPE } from "../../graph/onnx.ts";
import { ONNX_RUNTIME_WEBGPU } from "../../graph/target.ts";
import type { BlockCopy, Device, DeviceTensor, HostArray, HostArrays, Session, StoredDType } from "../device.ts";
import { GraphKernels } from "../graph-kernels.ts";
import { elementBytes, elementsOf, requireElements } from "../host-memory.ts";
import { requireComputes, triedProgram } from "../try-out.ts";
import { type Address, LOCATION, OrtSession, OrtWeb } from "./ort-module.ts";
import { requireThere, tensorInMemory, WebTensor } from "./web-tensor.ts";
import { type BrowserGpu, type GpuBuffer, MAP_READ, type OrtGpuModule, USAGE } from "./webgpu-interfaces.ts";

/** Buffers are bound in pieces of so many bytes. */
const ALIGNMENT = 16;

/** Nodes that only the host has, and that compute nothing there (`compute/gpu/gpu-session.ts`). */
const DIRECTING = "Loop";
const CACHED = "GroupQueryAttention";

/** A tensor on the GPU, or the first elements of one, or one in the module's memory. */
class WebGpuTensor<D extends StoredDType = StoredDType> extends WebTensor<D> {
  readonly buffer: GpuBuffer | undefined;
  /** Of a tensor in the module's memory. */
  readonly data: HostArrays[D] | undefined;

  constructor(
    dtype: D,
    dims: readonly number[],
    handle: Address,
    place: { readonly buffer?: GpuBuffer; readonly data?: HostArrays[D] },
    release: () => void,
  ) {
    super(dtype, dims, handle, release);
    this.buffer = place.buffer;
    this.data = place.data;
  }
}

function webGpuTensor<D extends StoredDType>(tensor: DeviceTensor<D>): WebGpuTensor<D> {
  if (tensor instanceof WebGpuTensor) return tensor;
  throw new TypeError("This tensor is not one of the browser's GPU.");
}

function bufferOf(tensor: DeviceTensor): GpuBuffer {
  const { buffer } = webGpuTensor(tensor);
  if (buffer === undefined) throw new TypeError("This tensor is in the host's memory.");
  return buffer;
}

/** A browser's GPU; see the head of this file. */
export class WebGpuDevice implements Device {
  readonly name: string;
  readonly target = ONNX_RUNTIME_WEBGPU;
  readonly kernels = new GraphKernels(this);
  readonly #ort: OrtWeb;
  readonly #module: OrtGpuModule;
  readonly #gpu: BrowserGpu;
  /** A session whose device buffers are registered with; it stays. */
  #anchor: Address = 0;
  #last: Promise<unknown> = Promise.resolve();
  #fault: Error | undefined;

  /**
   * Opens ONNX Runtime's module on a GPU.
   *
   * @throws AhaError where the GPU does not compute what it should
   */
  static async open(module: OrtGpuModule, gpu: BrowserGpu, name: string): Promise<WebGpuDevice> {
    const device = new WebGpuDevice(module, gpu, name);
    try {
      device.#anchor = await device.#inTurn(() => device.#compile(triedProgram(device.target)));
      await requireComputes(device);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new AhaError(`The browser's GPU (${name}) does not compute as it should: ${reason}`, { cause: error });
    }
    return device;
  }

  private constructor(module: OrtGpuModule, gpu: BrowserGpu, name: string) {
    module.webgpuInit(() => {});
    this.#module = module;
    this.#ort = new OrtWeb(module, 1);
    this.#gpu = gpu;
    this.name = `webgpu, ${name}`;
    gpu.addEventListener("uncapturederror", ({ error }) => {
      this.#fault ??= new RuntimeFailure(`WebGPU: ${error.message}`);
    });
    void gpu.lost.then(({ message }) => {
      this.#fault = new DeviceLostError(
        `The GPU is gone (${message || "the browser does not say why"}). Go on from the last save, on the processors if it happens again.`,
      );
    });
  }

  allocate<D extends StoredDType>(dtype: D, dims: readonly number[]): WebGpuTensor<D> {
    this.#throwFault();
    // A new buffer is zeroed.
    const size = Math.max(ALIGNMENT, Math.ceil(this.#bytes(dtype, dims) / ALIGNMENT) * ALIGNMENT);
    const buffer = this.#gpu.createBuffer({ size, usage: USAGE.storage | USAGE.copySource | USAGE.copyTarget });
    return this.#over(buffer, dtype, dims, () => this.#later(() => buffer.destroy()));
  }

  allocateOnHost<D extends StoredDType>(dtype: D, dims: readonly number[]): WebGpuTensor<D> {
    const bytes = elementsOf(dims) * elementBytes(dtype);
    const address = this.#ort.allocate(bytes);
    this.#ort.bytes(address, bytes).fill(0);
    const { data, handle } = tensorInMemory(this.#ort, dtype, dims, address);
    return new WebGpuTensor(dtype, dims, handle, { data }, () => {
      this.#later(() => {
        this.#module._OrtReleaseTensor(handle);
        this.#ort.free(address);
      });
    });
  }

  view<D extends StoredDType>(tensor: DeviceTensor<D>, dims: readonly number[]): WebGpuTensor<D> {
    requireElements(elementsOf(tensor.dims), dims);
    return this.#over(bufferOf(tensor), tensor.dtype, dims, () => {});
  }

  hostMemory<D extends StoredDType>(tensor: DeviceTensor<D>): HostArrays[D] | undefined {
    return webGpuTensor(tensor).data;
  }

  upload<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): void {
    const held = heldDType(this.target, tensor.dtype);
    let data: HostArray = values;
    if (held !== tensor.dtype) {
      data = new Float32Array(values.length);
      fromBfloat16(values as Uint16Array, data as Float32Array);
    }
    this.#gpu.queue.writeBuffer(bufferOf(tensor), 0, wholeWords(data));
  }

  download<D extends StoredDType>(tensor: DeviceTensor<D>, values: HostArrays[D]): Promise<void> {
    const source = bufferOf(tensor);
    const bytes = this.#bytes(tensor.dtype, tensor.dims);
    return this.#inTurn(async () => {
      const size = Math.ceil(bytes / 4) * 4;
      if (size === 0) return;
      const staging = this.#gpu.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyTarget });
      try {
        this.#copyBytes(source, 0, staging, 0, size);
        await staging.mapAsync(MAP_READ);
        const held = new Uint8Array(staging.getMappedRange().slice(0, bytes));
        if (tensor.dtype === "bfloat16") toBfloat16(new Float32Array(held.buffer), values as Uint16Array);
        else new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(held);
      } finally {
        staging.destroy();
      }
      this.#throwFault();
    });
  }

  copy({ source, sourceStart, sourceStride, target, targetStart, targetStride, count, length }: BlockCopy): void {
    if (count === 0 || length === 0) return;
    const [from, to] = [bufferOf(source), bufferOf(target)];
    const bytes = this.#elementBytes(source.dtype);
    const encoder = this.#gpu.createCommandEncoder();
    // Within one buffer nothing is copied directly: the blocks go through another one.
    const between = from === to ? this.#gpu.createBuffer({ size: count * length * bytes, usage: 0xc }) : undefined;
    for (let block = 0; block < count; block++) {
      const [first, place] = [sourceStart + block * sourceStride, targetStart + block * targetStride];
      const inside = block * length * bytes;
      if (between) encoder.copyBufferToBuffer(from, first * bytes, between, inside, length * bytes);
      else encoder.copyBufferToBuffer(from, first * bytes, to, place * bytes, length * bytes);
    }
    for (let block = 0; between && block < count; block++) {
      const place = (targetStart + block * targetStride) * bytes;
      encoder.copyBufferToBuffer(between, block * length * bytes, to, place, length * bytes);
    }
    this.#gpu.queue.submit([encoder.finish()]);
    between?.destroy();
  }

  async load(lowered: LoweredGraph): Promise<Session> {
    const handle = await this.#inTurn(() => this.#compile(lowered));
    const session = new OrtSession(this.#ort, handle, lowered);
    const mayShare = lowered.operations.has(CACHED);
    return {
      bind: (inputs, outputs) => this.#bind(session, inputs.map(webGpuTensor), outputs.map(webGpuTensor), mayShare),
      dispose: () => {
        this.#later(() => {
          this.#module.webgpuOnReleaseSession(handle);
          session.dispose();
        });
      },
    };
  }

  #bind(
    session: OrtSession,
    inputs: readonly WebGpuTensor[],
    outputs: readonly WebGpuTensor[],
    mayShare: boolean,
  ): () => Promise<void> {
    const read = new Set(inputs.map(({ buffer }) => buffer));
    const isOver = ({ buffer }: WebGpuTensor) => !mayShare && buffer !== undefined && read.has(buffer);
    return async () => {
      requireThere([...inputs, ...outputs]);
      const beside = outputs.map((output) => (isOver(output) ? this.allocate(output.dtype, output.dims) : undefined));
      try {
        const written = outputs.map((output, i) => beside[i] ?? output);
        await this.#inTurn(async () => {
          await session.run(
            inputs.map(({ handle }) => handle),
            written.map(({ handle }) => handle),
          );
          for (const [i, tensor] of beside.entries()) {
            if (tensor) this.#copyBytes(tensor.buffer!, 0, outputs[i]!.buffer!, 0, this.#words(tensor));
          }
        });
      } finally {
        for (const tensor of beside) tensor?.dispose();
      }
    };
  }

  /** Its bytes, up to a whole word: the least that is copied. */
  #words({ dtype, dims }: WebGpuTensor): number {
    return Math.ceil(this.#bytes(dtype, dims) / 4) * 4;
  }

  #copyBytes(source: GpuBuffer, from: number, target: GpuBuffer, to: number, bytes: number): void {
    const encoder = this.#gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(source, from, target, to, bytes);
    this.#gpu.queue.submit([encoder.finish()]);
  }

  async #compile({ model, operations }: LoweredGraph): Promise<Address> {
    const isDirected = operations.has(DIRECTING);
    let session: Address = 0;
    try {
      session = await this.#ort.session(model, async (options) => {
        // A node without a kernel is refused, and does not fall back to the host unseen.
        if (!isDirected) this.#ort.configure(options, "session.disable_cpu_ep_fallback", "1");
        const [deviceId, webgpuInstance, webgpuDevice] = this.#module.webgpuRegisterDevice(this.#gpu)!;
        await this.#ort.appendProvider(options, "WebGPU", { enableInt64: 1, deviceId, webgpuInstance, webgpuDevice });
      });
      return session;
    } finally {
      // Also where nothing was made: the module expects it before the next session.
      this.#module.webgpuOnCreateSession(session);
    }
  }

  #over<D extends StoredDType>(buffer: GpuBuffer, dtype: D, dims: readonly number[], release: () => void) {
    const held = heldDType(this.target, dtype);
    const address = this.#module.webgpuRegisterBuffer(buffer, this.#anchor);
    const handle = this.#ort.tensor(ONNX_DTYPE[held], address, this.#bytes(dtype, dims), dims, LOCATION.gpuBuffer);
    return new WebGpuTensor<D>(dtype, dims, handle, { buffer }, () => {
      this.#later(() => {
        this.#module._OrtReleaseTensor(handle);
        this.#module.webgpuUnregisterBuffer(buffer);
      });
      release();
    });
  }

  #bytes(dtype: StoredDType, dims: readonly number[]): number {
    return this.#elementBytes(dtype) * elementsOf(dims);
  }

  #elementBytes(dtype: StoredDType): number {
    return elementBytes(heldDType(this.target, dtype));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      this.#throwFault();
      return work();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Does `work` when everything that was begun before is done. */
  #later(work: () => void): void {
    this.#last = this.#last.then(work);
  }

  #throwFault(): void {
    if (this.#fault) throw this.#fault;
  }
}

/** Bytes in whole words, which are the least that is written. */
function wholeWords(data: HostArray): Uint8Array {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return padded;
}
