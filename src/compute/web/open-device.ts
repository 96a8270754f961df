/**
 * Opens what computes in a browser: ONNX Runtime as WebAssembly, on the processors or on the GPU.
 *
 * Two files of the npm package onnxruntime-web are loaded for it, a script and a .wasm file beside it. They stay files of
 * their own, which a bundler must not take apart: threads begin with the script once more.
 */

import { AhaError } from "../../errors.ts";
import type { Device } from "../device.ts";
import { requireComputes } from "../try-out.ts";
import { missingFunctions, type OrtModule, type OrtModuleFactory, REQUIRED_VERSION } from "./ort-module.ts";
import { WasmDevice } from "./wasm-device.ts";
import { WebGpuDevice } from "./webgpu-device.ts";
import type { BrowserAdapter, OrtGpuModule } from "./webgpu-interfaces.ts";

/** What computes: the processors, or the GPU. */
export type WebBackend = "wasm" | "webgpu";

/** The names of the files that each needs, without their endings `.mjs` and `.wasm`. */
export const RUNTIME_FILES: Readonly<Record<WebBackend, string>> = {
  wasm: "ort-wasm-simd-threaded",
  webgpu: "ort-wasm-simd-threaded.jspi",
};

/** How a device is opened. */
export interface WebDeviceOptions {
  /**
   * The folder that has the files of `onnxruntime-web/dist`, as an address: absolute, or from the worker's or the page's own
   * one on. Of them `RUNTIME_FILES` are loaded.
   */
  readonly files: string | URL;
  /** `wasm` if absent. A model of a few million parameters is done on the processors before a GPU has begun. */
  readonly backend?: WebBackend;
  /** Of the processors; `threadsHere()` if absent. */
  readonly threads?: number;
  /** Fetches a .wasm file of `files` by its name, for those who want to see its progress or check its hash. */
  readonly fetchFile?: (name: string) => Promise<ArrayBuffer>;
}

/** A device that is open. */
export interface OpenWebDevice {
  readonly device: Device;
  readonly backend: WebBackend;
  /** Why it is not the GPU that was asked for, in a sentence. */
  readonly backendReason?: string;
  readonly threads: number;
}

/** A file of ONNX Runtime's did not come, or is of another version. */
export class RuntimeFileError extends AhaError {
  override name = "RuntimeFileError";
}

/** What is used of a browser's globals, which programs without its types have, too. */
const here = globalThis as unknown as {
  readonly crossOriginIsolated?: boolean;
  readonly location?: { readonly href: string };
  readonly navigator?: {
    readonly hardwareConcurrency?: number;
    readonly gpu?: { requestAdapter(): Promise<BrowserAdapter | null> };
  };
  readonly WebAssembly?: object;
};

/** More threads than this share the work of small models badly. */
const MOST_THREADS = 4;

/** Threads that a model is computed with here: one where the page is not isolated; a processor is left to the page. */
export function threadsHere(): number {
  if (here.crossOriginIsolated !== true) return 1;
  return Math.max(1, Math.min(MOST_THREADS, (here.navigator?.hardwareConcurrency ?? 2) - 1));
}

/**
 * Opens a device. Where a GPU is asked for and there is none that computes, the processors do, and `backendReason` says why.
 * A run occupies the thread that it is begun on, so all of this belongs in a web worker.
 *
 * @throws RuntimeFileError where a file of ONNX Runtime's does not come, or is of another version
 */
export async function openWebDevice(options: WebDeviceOptions): Promise<OpenWebDevice> {
  if (options.backend !== "webgpu") return openWasm(options);
  const gpu = await findGpu();
  if ("absence" in gpu) return { ...(await openWasm(options)), backendReason: gpu.absence };
  const { factory, wasmBinary } = await loadedRuntime("webgpu", options);
  try {
    return await openWebGpu(gpu.adapter, factory, wasmBinary);
  } catch (error) {
    // Files of another version are somebody's mistake, which the processors must not hide.
    if (error instanceof RuntimeFileError) throw error;
    const reason = error instanceof AhaError ? error.message : `The browser's GPU cannot be opened: ${wordsOf(error)}.`;
    return { ...(await openWasm(options)), backendReason: reason };
  }
}

async function openWasm(options: WebDeviceOptions): Promise<OpenWebDevice> {
  const threads = options.threads ?? threadsHere();
  if (threads > 1 && here.crossOriginIsolated === false) {
    throw new AhaError(
      `${threads} threads need a page that is isolated, and this one is not: its server must send the headers ` +
        "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp. Or take one thread.",
    );
  }
  const { factory, wasmBinary } = await loadedRuntime("wasm", options);
  const device = await WasmDevice.open(begun(factory), { threads, wasmBinary });
  await requireComputes(device);
  return { device, backend: "wasm", threads };
}

async function openWebGpu(adapter: BrowserAdapter, factory: OrtModuleFactory, wasmBinary: ArrayBuffer) {
  const module = (await begun(factory)({ numThreads: 1, wasmBinary })) as OrtGpuModule;
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]!]));
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
  const gpu = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  const name = [vendor, architecture, description].filter((part) => part !== "").join(" ") || "a GPU";
  try {
    return { device: await WebGpuDevice.open(module, gpu, name), backend: "webgpu", threads: 1 } as const;
  } catch (error) {
    gpu.destroy();
    throw error;
  }
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
  const gpu = here.navigator?.gpu;
  if (gpu === undefined) return { absence: "This browser has no WebGPU, so the processors compute." };
  if (here.WebAssembly === undefined || !("Suspending" in here.WebAssembly)) {
    return {
      absence:
        "WebAssembly cannot wait for a GPU in this browser (it lacks JSPI), so the processors compute. Chrome and Edge can.",
    };
  }
  const adapter = await gpu.requestAdapter().catch(() => null);
  return adapter ? { adapter } : { absence: "WebGPU finds no GPU on this machine, so the processors compute." };
}

/** The script and the .wasm file of a backend. */
async function loadedRuntime(backend: WebBackend, { files, fetchFile }: WebDeviceOptions) {
  const address = (ending: string) => addressIn(files, `${RUNTIME_FILES[backend]}.${ending}`);
  const fetched = fetchFile ?? ((name: string) => fetchedFrom(addressIn(files, name)));
  const wasmBinary = await fetched(`${RUNTIME_FILES[backend]}.wasm`);
  const factory = await importedFactory(address("mjs"));
  return { factory, wasmBinary };
}

/** What a factory makes, once it is known to be the version that is called. */
function begun(factory: OrtModuleFactory): OrtModuleFactory {
  const another = (why: string) =>
    new RuntimeFileError(
      `The files of ONNX Runtime are not those of onnxruntime-web ${REQUIRED_VERSION}: ${why}. Serve those of that version.`,
    );
  return async (settings) => {
    let module: OrtModule;
    try {
      module = await factory(settings);
    } catch (error) {
      // The script and the .wasm file do not fit each other.
      if (/LinkError|CompileError/.test(`${error}`)) throw another(wordsOf(error));
      throw error;
    }
    const missing = missingFunctions(module);
    if (missing.length > 0) throw another(`they have no ${missing.join(", ")}`);
    return module;
  };
}

function addressIn(folder: string | URL, name: string): string {
  const inside = String(folder).replace(/\/*$/, "/");
  return here.location === undefined ? new URL(name, inside).href : new URL(inside + name, here.location.href).href;
}

async function fetchedFrom(address: string): Promise<ArrayBuffer> {
  try {
    const response = await fetch(address);
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return await response.arrayBuffer();
  } catch (error) {
    throw unloaded(address, error);
  }
}

async function importedFactory(address: string): Promise<OrtModuleFactory> {
  try {
    // The address is known only here; bundlers are asked to leave it alone.
    const script = (await import(/* webpackIgnore: true */ /* @vite-ignore */ address)) as { default?: unknown };
    if (typeof script.default === "function") return script.default as OrtModuleFactory;
  } catch (error) {
    throw unloaded(address, error);
  }
  throw new RuntimeFileError(
    `${address} is not the script of onnxruntime-web ${REQUIRED_VERSION}: it exports nothing.`,
  );
}

function unloaded(address: string, error: unknown): RuntimeFileError {
  return new RuntimeFileError(
    `${address} cannot be loaded: ${wordsOf(error)}. The files of onnxruntime-web ${REQUIRED_VERSION} (its folder dist) must ` +
      "be served there, by the page's own origin or with CORS headers.",
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
