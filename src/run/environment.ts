/**
 * What a run's numbers depend on beside its recipe: the last bits of a sum depend on the processor, on the device and on
 * the version of the program. Checkpoints name them, so that a resume elsewhere can say that it will not be bit-identical.
 */

import { cpus } from "node:os";

/** By name, as people read it. */
export type Environment = Readonly<Record<string, string>>;

/** That of this process, which computes on `device`; undefined: not here. */
export function currentEnvironment(device?: string): Environment {
  return {
    ...(device !== undefined && { device }),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

/** What differs, as `processor: before → now`. */
export function differingEnvironment(before: Environment, now: Environment): string[] {
  return Object.keys(now)
    .filter((name) => before[name] !== undefined && before[name] !== now[name])
    .map((name) => `${name}: ${before[name]} → ${now[name]}`);
}
