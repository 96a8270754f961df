/**
 * WebGPU, by the provider inside of the library in the npm package onnxruntime-node: Direct3D 12 on Windows, Metal on
 * macOS, Vulkan on Linux. Nothing is installed for it but a driver.
 */

import { ONNX_RUNTIME_WEBGPU } from "../../graph/target.ts";
import { NativeNames } from "../ort/ort-api.ts";
import type { GpuProvider } from "./provider.ts";

/**
 * `enableInt64`: kernels for int64, which compute the low 32 bits only. Tokens, positions and sizes fit into them, and
 * what needs all 64 bits is lowered to 32-bit integers (`graph/words.ts`).
 */
const OPTIONS = { enableInt64: "1" };

/** WebGPU's default limit of what a program binds (`maxStorageBufferBindingSize`); that of a buffer is twice as much. */
const SURE_BUFFER_BYTES = 2 ** 27;

export const WEBGPU: GpuProvider = {
  name: "webgpu",
  memoryName: "WebGPU_Buf",
  target: ONNX_RUNTIME_WEBGPU,
  sureBufferBytes: SURE_BUFFER_BYTES,
  prepare: () => {},
  append: ({ api }, options) => {
    const [keys, values] = [new NativeNames(Object.keys(OPTIONS)), new NativeNames(Object.values(OPTIONS))];
    const count = keys.strings.length;
    api.call("SessionOptionsAppendExecutionProvider", options, "WebGPU", keys.pointers, values.pointers, count);
  },
  absence: (reason) =>
    `There is no GPU that WebGPU can compute on here: ${reason}. ${MENDS[process.platform] ?? MENDS.linux} ` +
    "Or compute on the processors, with engine.device: cpu (--device cpu).",
};

const MENDS: Partial<Record<NodeJS.Platform, string>> & { readonly linux: string } = {
  linux:
    "On Linux WebGPU needs Vulkan: its loader (the package libvulkan1 or vulkan-loader) and the driver of your GPU " +
    "(mesa-vulkan-drivers for AMD and Intel, NVIDIA's own). `vulkaninfo --summary` (vulkan-tools) lists what Vulkan finds.",
  darwin: "On macOS WebGPU needs Metal, which every Mac with Apple's processor has.",
  win32: "On Windows WebGPU needs Direct3D 12: update the graphics driver.",
};
