/**
 * What failures of a GPU's library mean to a user: the device is gone, or has too little memory. ONNX Runtime has no codes for
 * this, so its words are read: its own, those of Dawn (WebGPU), Vulkan, Direct3D and CUDA.
 *
 * Every call of the library on a GPU goes through `explaining`, so that no entry of it is forgotten.
 */

import { AhaError, DeviceLostError, RuntimeFailure } from "../../errors.ts";
import { inBytes } from "../../number-text.ts";
import type { TensorUse } from "../device.ts";
import type { NativeApi, NativeEnvironment } from "../ort/environment.ts";
import type { AskedTensor } from "./gpu-tensor.ts";

/** What helps where there is no memory to compute with: for activations, logits and gradients of a micro-batch. */
export const MEMORY_KEYS =
  "Lower engine.microBatchTokens (training, scoring) or engine.cacheMib (sampling), or set engine.gradientCheckpointing.";

/** What helps where there is none for a tensor that stays, by what it is for. */
export const MEMORY_ADVICE: Readonly<Record<TensorUse, string>> = {
  weights:
    "A smaller model helps. Where an adapter is trained (model.lora), the projections of its base are smaller with " +
    "model.quantization: nf4, or with 16 bits for engine.dtype; an embedding of that size is not, and is left to a smaller " +
    "model or to the processors (engine.device: cpu).",
  "gradients and moments":
    "Train an adapter (model.lora) instead of the whole model, or a smaller model: each number that is trained has a " +
    "gradient and two moments of 4 bytes, whatever engine.dtype and engine.microBatchTokens are.",
  "key-value cache":
    "Lower engine.cacheMib or engine.maxSlots, which sample fewer sequences at once, or set 16 bits for engine.dtype.",
};

/** The device has too little memory, or allows no buffer of that size. */
export class DeviceMemoryError extends AhaError {
  override name = "DeviceMemoryError";
  /** The library's own words. */
  readonly reason: string;

  constructor(cause: Error, asked = "", advice = MEMORY_KEYS) {
    // Dawn says in further lines where it saw it.
    const reason = cause.message.trim().split("\n")[0]!.replace(/\.$/, "");
    super(`The device has too little memory${asked}, or allows no buffer of that size: ${reason}. ${advice}`, {
      cause,
    });
    this.reason = reason;
  }

  /** The same error, which says what the memory was for, and what helps then. */
  for({ use, dtype, dims }: AskedTensor, bytes: number): DeviceMemoryError {
    const asked = ` for ${use ?? "a tensor to compute with"} (${dtype} [${dims.join(", ")}], ${inBytes(bytes)})`;
    return new DeviceMemoryError(this.cause as Error, asked, use && MEMORY_ADVICE[use]);
  }
}

/**
 * `MapAsyncStatus` is WebGPU's for a buffer that is to be read: 4, aborted, is what a lost device gives, 2 what a context that
 * goes gives (webgpu.h).
 */
const LOST =
  /device.{0,20}lost|device (was|is) destroyed|DEVICE_LOST|ERROR_DEVICE|MapAsyncStatus value: [24]\b|unspecified launch failure|STATUS_EXECUTION_FAILED/i;

/**
 * Errors of CUDA's runtime after which every call of the process fails, by its documentation (`cudaError_t`): uncorrectable
 * memory, illegal addresses and instructions, launches that failed or took too long, a driver that goes.
 */
const CUDA_LOST: ReadonlySet<number> = new Set([
  4, 46, 214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 720, 721, 999,
]);
const CUDA_OUT_OF_MEMORY = 2;

/** A buffer that WebGPU could not make is made all the same, and is invalid where a program binds it. */
const OUT_OF_MEMORY = new RegExp(
  [
    "out[ _]?of[ _]?((device|host)[ _])?memory",
    "fail\\w* to allocate",
    "bad[ _]alloc",
    "ALLOC_FAILED",
    "available memory of",
    "buffer size",
    "binding size",
    "invalid buffer",
    "MapAsyncStatus value: 3\\b",
  ].join("|"),
  "i",
);

/** What the library's error means where it says that the device is gone, or out of memory; any other one as it is. */
export function explained(error: unknown): unknown {
  if (!(error instanceof RuntimeFailure)) return error;
  const { message } = error;
  const cuda = /CUDA (?:failure|error) (\d+)/i.exec(message);
  const code = cuda === null ? undefined : Number(cuda[1]);
  // The text around a number of CUDA's has the call that failed, as cudaMalloc, whatever was wrong with it.
  if (code === undefined ? LOST.test(message) : CUDA_LOST.has(code)) {
    return new DeviceLostError(
      `The device was lost while it computed: ${message.trim().replace(/\.$/, "")}. A run goes on from its last checkpoint with ` +
        "--resume, on the same device once its driver is back; with --resume --device cpu it goes on on the processors, not bit for bit.",
      { cause: error },
    );
  }
  const isMemory = code === undefined ? OUT_OF_MEMORY.test(message) : code === CUDA_OUT_OF_MEMORY;
  return isMemory ? new DeviceMemoryError(error) : error;
}

/** The same environment, whose calls throw what `explained` makes of their failures. */
export function explaining({ api, handle, hostMemory }: NativeEnvironment): NativeEnvironment {
  const now = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw explained(error);
    }
  };
  const later = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw explained(error);
    }
  };
  const explainingApi: NativeApi = {
    libraryPath: api.libraryPath,
    version: api.version,
    call: (...operands) => now(() => api.call(...operands)),
    create: (...operands) => now(() => api.create(...operands)),
    release: (...operands) => api.release(...operands),
    callAsync: (...operands) => later(() => api.callAsync(...operands)),
    createAsync: (...operands) => later(() => api.createAsync(...operands)),
  };
  return { api: explainingApi, handle, hostMemory };
}
