/** The devices that a model can be computed on, by name. */

import { Registry } from "../registry.ts";
import type { DeviceKind } from "./device.ts";

/** The device where none is asked for. */
export const DEFAULT_DEVICE = "cpu";

const cpu: DeviceKind = {
  name: DEFAULT_DEVICE,
  summary: "this machine's processors, by ONNX Runtime",
  // Loaded when it is wanted: nothing but the CPU device needs the native library.
  open: async ({ threads }) => (await import("./cpu/cpu-device.ts")).CpuDevice.open(threads),
};

/** Every device. */
export const devices = new Registry<DeviceKind>("device", [cpu]);
