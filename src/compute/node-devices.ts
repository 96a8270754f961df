/** The devices that Aha has on Node, put into the registry. A new one is a folder beside this file and a line below. */

import type { DeviceKind } from "./device.ts";
import { devices } from "./devices.ts";

/** The device where none is asked for. */
export const DEFAULT_DEVICE = "cpu";

const cpu: DeviceKind = {
  name: DEFAULT_DEVICE,
  summary: "this machine's processors, by ONNX Runtime",
  // Loaded when it is wanted: nothing but the CPU device needs the native library.
  open: async ({ threads }) => (await import("./cpu/cpu-device.ts")).CpuDevice.open(threads),
};

for (const device of [cpu]) devices.add(device);
