/** ONNX Runtime's WebAssembly in Node: the module that browsers load, on one thread. */

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import type { OrtModuleFactory } from "../../src/compute/web/ort-module.ts";
import { WasmDevice } from "../../src/compute/web/wasm-device.ts";

export async function openWasmInNode(threads = 1): Promise<WasmDevice> {
  const path = createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.mjs");
  const { default: factory } = (await import(pathToFileURL(path).href)) as { readonly default: OrtModuleFactory };
  return WasmDevice.open(factory, { threads });
}
