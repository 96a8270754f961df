/** The device of these tests, WebGPU or what AHA_CHECKED_DEVICE names, and one that computes the same on the CPU. */

import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import { CUDA } from "../../src/compute/gpu/cuda.ts";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { WEBGPU } from "../../src/compute/gpu/webgpu.ts";

export const THREADS = 2;
export const gpu = await GpuDevice.open(process.env.AHA_CHECKED_DEVICE === "cuda" ? CUDA : WEBGPU, THREADS);
export const cpu = CpuDevice.open(THREADS);
