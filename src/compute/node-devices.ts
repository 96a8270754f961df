/** The devices that Aha has on Node, put into the registry. A new one is a folder beside this file and a line below. */

import { ONNX_RUNTIME_CPU, ONNX_RUNTIME_CUDA, ONNX_RUNTIME_WEBGPU } from "../graph/target.ts";
import { firstThere } from "./auto-device.ts";
import type { DeviceKind, OpenOptions } from "./device.ts";
import { devices } from "./devices.ts";

/** The device where none is asked for. */
export const DEFAULT_DEVICE = "cpu";

const cpu: DeviceKind = {
  name: DEFAULT_DEVICE,
  summary: "this machine's processors, by ONNX Runtime",
  target: ONNX_RUNTIME_CPU,
  // Loaded when it is wanted: nothing but the CPU device needs the native library.
  open: async ({ threads }) => (await import("./cpu/cpu-device.ts")).CpuDevice.open(threads),
};

const webgpu: DeviceKind = {
  name: "webgpu",
  summary: "a GPU by Direct3D 12, Metal or Vulkan",
  target: ONNX_RUNTIME_WEBGPU,
  open: async ({ threads }) => {
    const [{ GpuDevice }, { WEBGPU }] = await Promise.all([import("./gpu/gpu-device.ts"), import("./gpu/webgpu.ts")]);
    return GpuDevice.open(WEBGPU, threads);
  },
  memories: async () => (await import("./gpu/gpu-memory.ts")).gpuMemories(),
  adapters: async () => (await import("./gpu/adapters.ts")).webgpuAdapters(),
};

const cuda: DeviceKind = {
  name: "cuda",
  summary: "a GPU of NVIDIA's, with a library that you install (docs/gpu.md)",
  target: ONNX_RUNTIME_CUDA,
  open: async ({ threads }) => {
    const [{ GpuDevice }, { CUDA }] = await Promise.all([import("./gpu/gpu-device.ts"), import("./gpu/cuda.ts")]);
    return GpuDevice.open(CUDA, threads);
  },
  memories: async () => (await import("./gpu/gpu-memory.ts")).nvidiaMemories(),
  adapters: async () => (await import("./gpu/adapters.ts")).nvidiaAdapters(),
};

const auto: DeviceKind = {
  name: "auto",
  summary: "the first of cuda, webgpu and cpu that is there, a GPU or the processors, and samples in the dtype",
  open: async (options) => (await chosen(options)).device,
  resolve: async (options) => (await chosen(options)).kind.name,
  memories: async () => (await import("./gpu/gpu-memory.ts")).gpuMemories(),
};

const chosen = (options: OpenOptions) => firstThere([cuda, webgpu], cpu, options);

for (const device of [cpu, webgpu, cuda, auto]) devices.add(device);
