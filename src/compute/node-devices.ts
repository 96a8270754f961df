/** The devices that Aha has on Node, put into the registry. A new one is a folder beside this file and a line below. */

import { AhaError } from "../errors.ts";
import type { Device, DeviceKind } from "./device.ts";
import { devices } from "./devices.ts";

/** The device where none is asked for. */
export const DEFAULT_DEVICE = "cpu";

const cpu: DeviceKind = {
  name: DEFAULT_DEVICE,
  summary: "this machine's processors, by ONNX Runtime",
  // Loaded when it is wanted: nothing but the CPU device needs the native library.
  open: async ({ threads }) => (await import("./cpu/cpu-device.ts")).CpuDevice.open(threads),
};

const webgpu: DeviceKind = {
  name: "webgpu",
  summary: "a GPU by Direct3D 12, Metal or Vulkan",
  open: async ({ threads }) => {
    const [{ GpuDevice }, { WEBGPU }] = await Promise.all([import("./gpu/gpu-device.ts"), import("./gpu/webgpu.ts")]);
    return GpuDevice.open(WEBGPU, threads);
  },
  memories: async () => (await import("./gpu/gpu-memory.ts")).gpuMemories(),
};

const cuda: DeviceKind = {
  name: "cuda",
  summary: "a GPU of NVIDIA's, with a library that you install (docs/gpu.md)",
  open: async ({ threads }) => {
    const [{ GpuDevice }, { CUDA }] = await Promise.all([import("./gpu/gpu-device.ts"), import("./gpu/cuda.ts")]);
    return GpuDevice.open(CUDA, threads);
  },
  memories: async () => (await import("./gpu/gpu-memory.ts")).nvidiaMemories(),
};

const auto: DeviceKind = {
  name: "auto",
  summary: "the first that is there of cuda, webgpu and cpu",
  open: async (options) => (await firstThere(options)).device,
  resolve: async (options) => (await firstThere(options)).kind.name,
  memories: async () => (await import("./gpu/gpu-memory.ts")).gpuMemories(),
};

async function firstThere(options: Parameters<DeviceKind["open"]>[0]): Promise<{ kind: DeviceKind; device: Device }> {
  for (const kind of [cuda, webgpu]) {
    try {
      return { kind, device: await kind.open(options) };
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
    }
  }
  return { kind: cpu, device: await cpu.open(options) };
}

for (const device of [cpu, webgpu, cuda, auto]) devices.add(device);
