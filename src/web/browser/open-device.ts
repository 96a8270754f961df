/** The devices of a browser. */

import type { OrtModuleFactory } from "../../compute/web/ort-module.ts";
import { WasmDevice } from "../../compute/web/wasm-device.ts";
import { WebGpuDevice } from "../../compute/web/webgpu-device.ts";
import type { BrowserAdapter, OrtGpuModule } from "../../compute/web/webgpu-interfaces.ts";
import { AhaError } from "../../errors.ts";
import { fetchedFile, type ListedFile, type ListedFiles } from "../fetched-file.ts";
import type { Backend, LoadingMessage } from "../protocol.ts";
import { LoadError } from "../tab-errors.ts";
import type { OpenDevice } from "../tab-session.ts";

/** More threads than this share the work of so small a model badly. */
const MOST_THREADS = 4;

/** Threads that ONNX Runtime computes with here: one where the page is not isolated; a processor is left to the page. */
export function threadsHere(): number {
  if (globalThis.crossOriginIsolated !== true) return 1;
  return Math.max(1, Math.min(MOST_THREADS, (navigator.hardwareConcurrency ?? 2) - 1));
}

/**
 * Opens what is asked for: `auto` is WASM. A model of this size is done on the processors before a GPU has begun its many
 * small kernels, so WebGPU is for those who ask for it.
 *
 * @throws LoadError where a file does not come
 */
export async function openBrowserDevice(
  backend: Backend | "auto",
  files: ListedFiles,
  onLoading: (loading: LoadingMessage) => void,
  threads = threadsHere(),
): Promise<OpenDevice> {
  if (backend !== "webgpu") return openWasm(files, onLoading, threads);
  const found = await findGpu();
  if ("absence" in found) return { ...(await openWasm(files, onLoading, threads)), backendReason: found.absence };
  try {
    return await openWebGpu(found.adapter, files, onLoading);
  } catch (error) {
    if (!(error instanceof AhaError) || error instanceof LoadError) throw error;
    return { ...(await openWasm(files, onLoading, threads)), backendReason: error.message };
  }
}

async function openWasm(files: ListedFiles, onLoading: OnLoading, threads: number): Promise<OpenDevice> {
  const wasmBinary = await fetchedModule(files.wasm, onLoading);
  const factory = await moduleFactory(files.wasm);
  return { device: await WasmDevice.open(factory, { threads, wasmBinary }), backend: "wasm", threads };
}

async function openWebGpu(adapter: BrowserAdapter, files: ListedFiles, onLoading: OnLoading): Promise<OpenDevice> {
  const wasmBinary = await fetchedModule(files.webgpu, onLoading);
  const factory = await moduleFactory(files.webgpu);
  const module = (await factory({ numThreads: 1, wasmBinary })) as OrtGpuModule;
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]!]));
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
  const gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  const name = [vendor, architecture, description].filter((part) => part !== "").join(" ") || "a GPU";
  return { device: await WebGpuDevice.open(module, gpu, name), backend: "webgpu", threads: 1 };
}

/** What ONNX Runtime's kernels use where the GPU has it; all else is WebGPU's default. */
const LIMITS = [
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
] as const;
const FEATURES = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** The GPU, or in a sentence why there is none. */
async function findGpu(): Promise<{ readonly adapter: BrowserAdapter } | { readonly absence: string }> {
  const { gpu } = navigator as unknown as { readonly gpu?: { requestAdapter(): Promise<BrowserAdapter | null> } };
  if (gpu === undefined) return { absence: "This browser has no WebGPU, so the processors compute." };
  if (!("Suspending" in WebAssembly)) {
    return {
      absence:
        "WebAssembly cannot wait for a GPU in this browser (it lacks JSPI), so the processors compute. Chrome and Edge can.",
    };
  }
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter ? { adapter } : { absence: "WebGPU finds no GPU on this machine, so the processors compute." };
}

type OnLoading = (loading: LoadingMessage) => void;

async function fetchedModule(file: ListedFile, onLoading: OnLoading): Promise<ArrayBuffer> {
  const bytes = await fetchedFile(file, (loadedBytes) => {
    onLoading({ type: "loading", part: "runtime", loadedBytes, totalBytes: file.bytes });
  });
  return bytes.buffer;
}

/** The script beside a .wasm file. It stays a file of its own, because its threads begin with it. */
async function moduleFactory({ path }: ListedFile): Promise<OrtModuleFactory> {
  const script = `./${path.replace(/wasm$/, "mjs")}`;
  try {
    return ((await import(script)) as { readonly default: OrtModuleFactory }).default;
  } catch (error) {
    throw LoadError.of(script, error);
  }
}
