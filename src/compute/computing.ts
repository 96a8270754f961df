/**
 * What everything that opens a model is given: a device to compute with, and the folders where models are. Node's is
 * `Compute`; elsewhere a program makes one of a device that it has opened (`computingOn`).
 */

import type { FolderAt } from "../folder.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import type { Device } from "./device.ts";

/** A device and its surroundings. */
export interface Computing {
  /** Threads that the device computes with. */
  readonly threads: number;
  /** The folder that a path of a recipe, or a place of a checkpoint, names. */
  readonly folderAt: FolderAt;
  /** The same surroundings with another device; these where `device` is absent, or their own. Throws ConfigError. */
  on(device: string | undefined): Computing;
  /**
   * The device, opened, for models whose layers compute in `dtype`, float32 if absent: of several that one name stands for it
   * is one that samples in it. Throws AhaError where this machine does not have it.
   */
  device(dtype?: FloatDType): Promise<Device>;
}

/** A device that is open, whatever a recipe calls it, and the folders of models. */
export function computingOn(device: Device, folderAt: FolderAt, threads = 1): Computing {
  const computing: Computing = { threads, folderAt, on: () => computing, device: async () => device };
  return computing;
}
