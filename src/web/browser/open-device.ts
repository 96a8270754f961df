/** The devices of a browser. */

import type { OrtModuleFactory } from "../../compute/web/ort-module.ts";
import { WasmDevice } from "../../compute/web/wasm-device.ts";
import { fetchedFile, type ListedFiles } from "../fetched-file.ts";
import type { Backend, LoadingMessage } from "../protocol.ts";
import type { OpenDevice } from "../tab-session.ts";

/** More threads than this share the work of so small a model badly. */
const MOST_THREADS = 4;

/** Threads that ONNX Runtime computes with here: one where the page is not isolated. */
export function threadsHere(): number {
  if (globalThis.crossOriginIsolated !== true) return 1;
  return Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1));
}

/** Opens what is asked for. */
export async function openBrowserDevice(
  _backend: Backend | "auto",
  files: ListedFiles,
  onLoading: (loading: LoadingMessage) => void,
  threads = threadsHere(),
): Promise<OpenDevice> {
  const file = files.wasm;
  const wasm = await fetchedFile(file, (loadedBytes) => {
    onLoading({ type: "loading", part: "runtime", loadedBytes, totalBytes: file.bytes });
  });
  const module = "./ort-wasm-simd-threaded.mjs";
  const { default: factory } = (await import(module)) as { readonly default: OrtModuleFactory };
  const device = await WasmDevice.open(factory, { threads, wasmBinary: wasm.buffer });
  return { device, backend: "wasm", threads };
}
