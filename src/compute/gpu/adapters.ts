/**
 * Which GPUs there are to open, by name. ONNX Runtime does not say which adapter it took: what it lists as hardware
 * (`GetEpDevices`) is on Linux what /sys has, without names, and not what Vulkan offers. So Vulkan is asked itself, by its loader that
 * WebGPU uses too, and NVIDIA's driver by nvidia-smi. On Windows and macOS nobody is asked.
 */

import { execFile } from "node:child_process";
import koffi from "koffi";
import type { DeviceAdapter } from "../device.ts";
import { type Pointer, pointerArray } from "../ort/ort-api.ts";

const DRIVER_SECONDS = 10;
const LOADER = "libvulkan.so.1";

/** `VkPhysicalDeviceType`. Dawn, which WebGPU is of, takes a discrete GPU before an integrated one, and software last. */
const BY_TYPE = { discrete: 2, integrated: 1, virtual: 3, software: 4 } as const;
const TYPES_BY_PREFERENCE: readonly number[] = Object.values(BY_TYPE);

/** By the number in `VkPhysicalDeviceProperties`: that of PCI, or for software one of Khronos (`VkVendorId`). */
const VENDORS: Readonly<Record<number, string>> = {
  4098: "AMD",
  4203: "Apple",
  4318: "NVIDIA",
  5045: "ARM",
  6880: "Google",
  20803: "Qualcomm",
  32902: "Intel",
  65541: "Mesa",
};

/** Size of a C structure that is read here, and more. */
const PROPERTIES_BYTES = 2048;
/** Offsets in `VkPhysicalDeviceProperties`: five numbers of 32 bits, then the name. */
const [VENDOR_OFFSET, TYPE_OFFSET, NAME_OFFSET, NAME_BYTES] = [8, 16, 20, 256];
/** Of `VkInstanceCreateInfo`, which has nothing but its kind here. */
const CREATE_INFO_BYTES = 64;
const INSTANCE_CREATE_INFO = 1;
const MOST_ADAPTERS = 64;

/** Environment variables that name Vulkan's drivers instead of those that are installed. */
const DRIVER_VARIABLES = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

/** What WebGPU may compute on here, the one first that it takes; undefined where nobody can be asked. */
export function webgpuAdapters(): readonly DeviceAdapter[] | undefined {
  if (process.platform === "linux") {
    try {
      return vulkanAdapters();
    } catch {
      // A loader that cannot be asked: what follows is left.
    }
  }
  return namedSoftware(process.env);
}

/** The driver in software that the environment names; undefined where it names none. */
export function namedSoftware(
  environment: Readonly<Record<string, string | undefined>>,
): readonly DeviceAdapter[] | undefined {
  const files = DRIVER_VARIABLES.map((variable) => environment[variable] ?? "").join();
  const name = /swiftshader|lavapipe|llvmpipe|lvp_icd/i.exec(files)?.[0];
  return name === undefined ? undefined : [{ name, isSoftware: true }];
}

function vulkanAdapters(): readonly DeviceAdapter[] {
  const vulkan = koffi.load(LOADER);
  const createInstance = vulkan.func("int vkCreateInstance(void* info, void* allocator, _Out_ void** instance)");
  const enumerate = vulkan.func("int vkEnumeratePhysicalDevices(void* instance, void* count, void* devices)");
  const properties = vulkan.func("void vkGetPhysicalDeviceProperties(void* device, void* properties)");
  const destroyInstance = vulkan.func("void vkDestroyInstance(void* instance, void* allocator)");
  const info = Buffer.alloc(CREATE_INFO_BYTES);
  info.writeUInt32LE(INSTANCE_CREATE_INFO, 0);
  const out: (Pointer | null)[] = [null];
  if (createInstance(info, null, out) !== 0) throw new Error("Vulkan makes no instance");
  const [instance] = out;
  try {
    const count = Uint32Array.of(MOST_ADAPTERS);
    const devices = pointerArray(Array.from({ length: MOST_ADAPTERS }, () => 0n));
    if (enumerate(instance, count, devices) < 0) throw new Error("Vulkan lists no adapters");
    const found = [...devices.subarray(0, count[0])].map((device) => {
      const data = Buffer.alloc(PROPERTIES_BYTES);
      properties(device, data);
      return vulkanAdapterOf(data);
    });
    return found.sort((a, b) => a.rank - b.rank).map(({ adapter }) => adapter);
  } finally {
    destroyInstance(instance, null);
  }
}

/** An adapter from its `VkPhysicalDeviceProperties`, and its place among those that WebGPU chooses from. */
export function vulkanAdapterOf(properties: Buffer): { readonly adapter: DeviceAdapter; readonly rank: number } {
  const name = properties.subarray(NAME_OFFSET, NAME_OFFSET + NAME_BYTES);
  const end = name.indexOf(0);
  const type = properties.readUInt32LE(TYPE_OFFSET);
  const vendor = VENDORS[properties.readUInt32LE(VENDOR_OFFSET)];
  const place = TYPES_BY_PREFERENCE.indexOf(type);
  return {
    adapter: {
      name: name.toString("utf8", 0, end < 0 ? NAME_BYTES : end),
      ...(vendor !== undefined && { vendor }),
      isSoftware: type === BY_TYPE.software,
    },
    rank: place < 0 ? TYPES_BY_PREFERENCE.length : place,
  };
}

/** NVIDIA's GPUs in the driver's order; undefined where there is no driver to ask. */
export async function nvidiaAdapters(): Promise<readonly DeviceAdapter[] | undefined> {
  const asked = ["--query-gpu=driver_version,name", "--format=csv,noheader"];
  const text = await new Promise<string>((resolve) => {
    execFile("nvidia-smi", asked, { timeout: 1000 * DRIVER_SECONDS, windowsHide: true }, (error, stdout) =>
      resolve(error ? "" : stdout),
    );
  });
  const found = parseNvidiaAdapters(text);
  return found.length === 0 ? undefined : found;
}

/** From lines `575.57.08, NVIDIA H100 80GB HBM3`. */
export function parseNvidiaAdapters(text: string): readonly DeviceAdapter[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*([\d.]+),\s*(.+?)\s*$/.exec(line);
    return found ? [{ name: found[2]!, vendor: "NVIDIA", driver: found[1]!, isSoftware: false }] : [];
  });
}
