/** The device of these tests, and one that computes the same on the CPU. */

import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { WEBGPU } from "../../src/compute/gpu/webgpu.ts";

export const THREADS = 2;
export const gpu = await GpuDevice.open(WEBGPU, THREADS);
export const cpu = CpuDevice.open(THREADS);
