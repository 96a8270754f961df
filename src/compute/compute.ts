/**
 * What a Node process computes with: a number of threads and a device, and models on its disk. A `Compute` is opened once, by the command or the
 * program that was told how many threads to take, and handed down to everything that opens a model, so that all models of
 * a process share one pool of threads and one arena.
 */

import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { ConfigError } from "../errors.ts";
import type { Folder } from "../folder.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import type { Computing } from "./computing.ts";
import type { Device, DeviceKind } from "./device.ts";
import { devices } from "./devices.ts";
import { DEFAULT_DEVICE } from "./node-devices.ts";
import { warnOnce } from "./warnings.ts";

export interface ComputeOptions {
  /** Threads to compute with; `defaultThreads()` if absent. */
  readonly threads?: number | undefined;
  /** Name of a device in the registry; `cpu` if absent. */
  readonly device?: string | undefined;
}

/**
 * More threads than any machine has cores: a larger number is a typing error, and the process would run out of memory.
 */
const MAX_THREADS = 1024;

/** The default number of threads: one per processor, at most 8. */
export function defaultThreads(): number {
  return Math.min(8, availableParallelism());
}

/** Threads and a device; see the head of this file. */
export class Compute implements Computing {
  readonly threads: number;
  readonly #kind: DeviceKind;
  readonly #opened = new Map<FloatDType, Promise<Device>>();

  private constructor(threads: number, kind: DeviceKind) {
    this.threads = threads;
    this.#kind = kind;
  }

  /**
   * Checks the options; the device itself is opened when the first model asks for it.
   *
   * @throws ConfigError for a number of threads that cannot be, or a device that is not registered.
   */
  static open({ threads = defaultThreads(), device = DEFAULT_DEVICE }: ComputeOptions = {}): Compute {
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      throw new ConfigError(`Expected a whole number of threads from 1 to ${MAX_THREADS}, not ${threads}.`);
    }
    return new Compute(threads, devices.get(device));
  }

  /** The directory at a path of this machine. */
  folderAt(path: string): Folder {
    return diskFolder(resolve(path));
  }

  /** The same threads with another device; this one where `device` is absent, or its own. */
  on(device: string | undefined): Compute {
    return device === undefined || device === this.#kind.name ? this : Compute.open({ threads: this.threads, device });
  }

  /**
   * The device, opened; what is to be known of it is a warning of this process (`warnings.ts`).
   *
   * @throws AhaError where this machine does not have it; RuntimeFailure where this process has opened it with another
   * number of threads.
   */
  device(dtype: FloatDType = "float32"): Promise<Device> {
    let opened = this.#opened.get(dtype);
    if (opened === undefined) {
      opened = this.#open(dtype);
      this.#opened.set(dtype, opened);
    }
    return opened;
  }

  async #open(dtype: FloatDType): Promise<Device> {
    const device = await this.#kind.open({ threads: this.threads, dtype });
    for (const warning of device.warnings ?? []) warnOnce(warning);
    return device;
  }
}
