/**
 * What this process computes with: a number of threads and a device. A `Compute` is opened once, by the command or the
 * program that was told how many threads to take, and handed down to everything that opens a model, so that all models of
 * a process share one pool of threads and one arena.
 */

import { ConfigError } from "../errors.ts";
import type { Device, DeviceKind } from "./device.ts";
import { DEFAULT_DEVICE, devices } from "./devices.ts";

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
  return Math.min(8, processors());
}

function processors(): number {
  // `node:os` is not imported here, so that this file can also be bundled for a browser.
  const os = globalThis.process?.getBuiltinModule("node:os");
  return os?.availableParallelism() ?? 1;
}

/** Threads and a device; see the head of this file. */
export class Compute {
  readonly threads: number;
  readonly #kind: DeviceKind;
  #device: Promise<Device> | undefined;

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

  /** The same threads with another device; this one where `device` is absent, or its own. */
  on(device: string | undefined): Compute {
    return device === undefined || device === this.#kind.name ? this : Compute.open({ threads: this.threads, device });
  }

  /**
   * The device, opened.
   *
   * @throws AhaError where this machine does not have it; RuntimeFailure where this process has opened it with another
   * number of threads.
   */
  device(): Promise<Device> {
    this.#device ??= this.#kind.open({ threads: this.threads });
    return this.#device;
  }
}
