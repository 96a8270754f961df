/**
 * The devices that a model can be computed on, by name. None is listed here, for each needs something of its own: those of
 * Node are in `node-devices.ts`; a program in a browser registers its own (`extend`).
 */

import { Registry } from "../registry.ts";
import type { DeviceKind } from "./device.ts";

/** Every device. */
export const devices = new Registry<DeviceKind>("device");
