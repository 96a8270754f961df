/** `aha doctor --devices`: which devices there are to compute on, and what those lack that there are not. */

import { defaultThreads } from "../compute/compute.ts";
import type { DeviceKind, DeviceMemory } from "../compute/device.ts";
import { devices } from "../compute/devices.ts";
import { OrtEnvironment } from "../compute/ort/environment.ts";
import { AhaError } from "../errors.ts";
import { inBytes } from "../number-text.ts";
import type { CommandContext } from "./command.ts";

/** What there is to say of a device. */
interface FoundDevice {
  readonly device: string;
  readonly summary: string;
  readonly found: boolean;
  /** What it calls itself, where it was found. */
  readonly name?: string;
  /** Memory of the GPUs that it may be, as far as drivers say it. */
  readonly memories?: readonly DeviceMemory[];
  /** What is missing and what mends it, where it was not. */
  readonly missing?: string;
}

/** Opens every device, lets it compute a little, and prints what came of it. */
export async function reportDevices(context: CommandContext, json: boolean): Promise<number> {
  const { api } = OrtEnvironment.open(defaultThreads());
  const library = { version: api.version, path: api.libraryPath };
  const found: FoundDevice[] = [];
  for (const kind of devices.all) if (kind.name !== "auto") found.push(await lookAt(kind));
  if (json) context.out(`${JSON.stringify({ onnxruntime: library, devices: found })}\n`);
  else context.out(text(library, found));
  return 0;
}

async function lookAt(kind: DeviceKind): Promise<FoundDevice> {
  const about = { device: kind.name, summary: kind.summary };
  try {
    const { name } = await kind.open({ threads: defaultThreads() });
    const memories = await kind.memories?.();
    return { ...about, found: true, name, ...(memories && { memories }) };
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    return { ...about, found: false, missing: error.message };
  }
}

function text(library: { readonly version: string; readonly path: string }, found: readonly FoundDevice[]): string {
  const lines = found.map(({ device, summary, name, missing, memories }) => {
    if (name === undefined) return `${device}: not here. ${missing}`;
    return `${device}: found (${name}), ${summary}${memories === undefined ? "" : `; ${memoryText(memories)}`}`;
  });
  return [`ONNX Runtime ${library.version}, ${library.path}`, ...lines, ""].join("\n");
}

function memoryText(memories: readonly DeviceMemory[]): string {
  if (memories.length === 0) return "no driver says how much memory it has";
  return memories
    .map(({ name, bytes, freeBytes }) => {
      return `memory of ${name}: ${inBytes(bytes)}${freeBytes === undefined ? "" : `, ${inBytes(freeBytes)} free`}`;
    })
    .join("; ");
}
