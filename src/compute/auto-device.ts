/** The device that `auto` stands for on this machine. */

import { AhaError, EngineError } from "../errors.ts";
import { isHalf } from "../graph/tensor-type.ts";
import type { Device, DeviceAdapter, DeviceKind, OpenOptions } from "./device.ts";
import { requireDType } from "./device-dtype.ts";
import { warnOnce } from "./warnings.ts";

export interface ChosenDevice {
  readonly kind: DeviceKind;
  readonly device: Device;
}

/**
 * The first of `kinds` that opens, is no driver in software, and samples in `options.dtype`; else `otherwise`, the processors. A
 * device that is here and passed over is told of.
 *
 * @throws EngineError where a device is here and none computes in a dtype of 16 bits: on the processors it would be emulated,
 * slower than float32, and nobody who has a GPU means that.
 */
export async function firstThere(
  kinds: readonly DeviceKind[],
  otherwise: DeviceKind,
  options: OpenOptions,
): Promise<ChosenDevice> {
  const { dtype = "float32" } = options;
  const refusals: string[] = [];
  const notes: string[] = [];
  for (const kind of kinds) {
    const device = await unlessAbsent(kind.open(options));
    if (device === undefined) continue;
    const software = softwareWarning(await kind.adapters?.());
    if (software !== undefined) {
      notes.push(software);
      continue;
    }
    try {
      await requireDType(device, dtype);
      return told({ kind, device }, [...notes, ...refusals]);
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
      refusals.push(error.message);
    }
  }
  if (refusals.length > 0 && isHalf(dtype)) throw new EngineError(refusals.join(" "));
  return told({ kind: otherwise, device: await otherwise.open(options) }, [...notes, ...refusals]);
}

/** What to say where a device computes on the processors; undefined where it does not, as far as its driver says it. */
export function softwareWarning(adapters: readonly DeviceAdapter[] | undefined): string | undefined {
  const [taken] = adapters ?? [];
  if (!taken?.isSoftware) return undefined;
  return (
    `${taken.name} is a driver in software: it computes on the processors, more slowly than engine.device: cpu does. Install the ` +
    `driver of your GPU, or unset VK_DRIVER_FILES where that names this one; \`vulkaninfo --summary\` lists what Vulkan finds.`
  );
}

function told(chosen: ChosenDevice, notes: readonly string[]): ChosenDevice {
  for (const note of notes) warnOnce(`engine.device: auto takes ${chosen.kind.name}. ${note}`);
  return chosen;
}

async function unlessAbsent(opening: Promise<Device>): Promise<Device | undefined> {
  try {
    return await opening;
  } catch (error) {
    if (error instanceof AhaError) return undefined;
    throw error;
  }
}
