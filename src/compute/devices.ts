/** The devices that a model can be computed on, by name. */

import { Registry } from "../registry.ts";
import { Runtime } from "./runtime.ts";

/** An opened device. */
export type Device = Runtime;

/** A device as the registry lists it. */
export interface DeviceKind {
  /** What a recipe calls it (`engine.device`). */
  readonly name: string;
  /** What it is, in a few words. */
  readonly summary: string;
  /** Opens it for this process. Throws AhaError where this machine does not have it. */
  open(options: { readonly threads: number }): Promise<Device>;
}

/** The device where none is asked for. */
export const DEFAULT_DEVICE = "cpu";

const cpu: DeviceKind = {
  name: DEFAULT_DEVICE,
  summary: "this machine's processors, by ONNX Runtime",
  open: async ({ threads }) => Runtime.open(threads),
};

/** Every device. */
export const devices = new Registry<DeviceKind>("device", [cpu]);
