/** `aha doctor --devices`: which devices there are to compute on, and what those lack that there are not. */

import { softwareWarning } from "../compute/auto-device.ts";
import { defaultThreads } from "../compute/compute.ts";
import type { Device, DeviceAdapter, DeviceKind, DeviceMemory } from "../compute/device.ts";
import { requireDType, samplingDTypes } from "../compute/device-dtype.ts";
import { devices } from "../compute/devices.ts";
import { OrtEnvironment } from "../compute/ort/environment.ts";
import { versionWarning } from "../compute/ort/version.ts";
import { AhaError } from "../errors.ts";
import { type FloatDType, isHalf } from "../graph/tensor-type.ts";
import { inBytes } from "../number-text.ts";
import type { CommandContext } from "./command.ts";

/** What there is to say of a device. */
interface FoundDevice {
  readonly device: string;
  readonly summary: string;
  readonly found: boolean;
  /** What it calls itself, where it was found. */
  readonly name?: string;
  /** What it is by its driver's words, the one first that is taken. */
  readonly adapters?: readonly DeviceAdapter[];
  /** The dtypes that a model samples in there (`engine.dtype`). */
  readonly dtypes?: readonly FloatDType[];
  /** Those that it emulates instead. */
  readonly emulated?: readonly FloatDType[];
  /** What is wrong with it, though it is here. */
  readonly warnings?: readonly string[];
  /** Memory of the GPUs that it may be, as far as drivers say it. */
  readonly memories?: readonly DeviceMemory[];
  /** What is missing and what mends it, where it was not. */
  readonly missing?: string;
}

/** Opens every device, lets it compute a little, and prints what came of it. */
export async function reportDevices(context: CommandContext, json: boolean): Promise<number> {
  const { api } = OrtEnvironment.open(defaultThreads());
  const warning = versionWarning(api);
  const library = { version: api.version, path: api.libraryPath, ...(warning && { warning }) };
  const found: FoundDevice[] = [];
  for (const kind of devices.all) if (kind.name !== "auto") found.push(await lookAt(kind, warning));
  if (json) context.out(`${JSON.stringify({ onnxruntime: library, devices: found })}\n`);
  else context.out(text(library, found));
  return 0;
}

async function lookAt(kind: DeviceKind, libraryWarning?: string): Promise<FoundDevice> {
  const about = { device: kind.name, summary: kind.summary };
  try {
    const device = await kind.open({ threads: defaultThreads() });
    const memories = await kind.memories?.();
    const adapters = await kind.adapters?.();
    const dtypes = await dtypesOf(device);
    const emulated = dtypes.filter((dtype) => isHalf(dtype) && device.target.emulates.has(dtype));
    const software = softwareWarning(adapters);
    const warnings = [...(device.warnings ?? []), ...(software === undefined ? [] : [software])].filter(
      (warning) => warning !== libraryWarning,
    );
    return {
      ...about,
      ...{ found: true, name: device.name, dtypes: dtypes.filter((dtype) => !emulated.includes(dtype)), emulated },
      ...(adapters && { adapters }),
      ...(memories && { memories }),
      ...(warnings.length > 0 && { warnings }),
    };
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    return { ...about, found: false, missing: error.message };
  }
}

/** Those that its kernels have, or emulate, and that its driver has, too. */
async function dtypesOf(device: Device): Promise<readonly FloatDType[]> {
  const dtypes: FloatDType[] = [];
  for (const dtype of samplingDTypes(device.target)) {
    try {
      await requireDType(device, dtype);
      dtypes.push(dtype);
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
    }
  }
  return dtypes;
}

interface Library {
  readonly version: string;
  readonly path: string;
  readonly warning?: string;
}

function text({ version, path, warning }: Library, found: readonly FoundDevice[]): string {
  const lines = found.flatMap((one) => {
    const { device, summary, missing } = one;
    if (!one.found) return [`${device}: not here. ${missing}`];
    const { name, adapters = [], dtypes = [], emulated = [], warnings = [], memories } = one;
    const called = adapters.length > 0 ? adapters.map(adapterText).join("; also ") : name;
    const said = [
      `${device}: found (${called}), ${summary}`,
      `samples in ${dtypes.join(", ")}${emulated.length === 0 ? "" : `; emulates ${emulated.join(", ")}`}`,
      ...(memories === undefined ? [] : [memoryText(memories)]),
    ];
    return [said.join("; "), ...warnings.map((warning) => `  Warning: ${warning}`)];
  });
  const about = [`ONNX Runtime ${version}, ${path}`, ...(warning === undefined ? [] : [`  Warning: ${warning}`])];
  return [...about, ...lines, ""].join("\n");
}

/** `NVIDIA H100 80GB HBM3, driver 575.57.08`. */
function adapterText({ name, vendor, driver }: DeviceAdapter): string {
  const by = vendor === undefined || name.includes(vendor) ? "" : ` of ${vendor}`;
  return `${name}${by}${driver === undefined ? "" : `, driver ${driver}`}`;
}

function memoryText(memories: readonly DeviceMemory[]): string {
  if (memories.length === 0) return "no driver says how much memory it has";
  return memories
    .map(({ name, bytes, freeBytes }) => {
      return `memory of ${name}: ${inBytes(bytes)}${freeBytes === undefined ? "" : `, ${inBytes(freeBytes)} free`}`;
    })
    .join("; ");
}
