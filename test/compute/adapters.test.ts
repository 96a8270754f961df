/** What drivers say of GPUs, from their own words: no GPU is asked here. */

import { describe, expect, it } from "vitest";
import { namedSoftware, parseNvidiaAdapters, vulkanAdapterOf } from "../../src/compute/gpu/adapters.ts";

/** As `vkGetPhysicalDeviceProperties` writes it: versions of API and driver, vendor, device, kind, name. */
function properties(vendor: number, kind: number, name: string): Buffer {
  const data = Buffer.alloc(824);
  for (const [i, value] of [0x40_30_00, 7, vendor, 99, kind].entries()) data.writeUInt32LE(value, 4 * i);
  data.write(name, 20);
  return data;
}

describe("adapters", () => {
  it("of Vulkan have name and vendor, and are ranked as WebGPU chooses: software last", () => {
    const all = [
      properties(0x1ae0, 4, "SwiftShader Device (LLVM 10.0.0)"),
      properties(0x8086, 1, "Intel(R) Iris(R) Xe Graphics"),
      properties(0x10de, 2, "NVIDIA H100 80GB HBM3"),
      properties(0x10005, 4, "llvmpipe (LLVM 15.0.6, 256 bits)"),
      properties(0x4242, 0, "x".repeat(255)),
    ].map(vulkanAdapterOf);
    expect(all.map(({ adapter }) => adapter)).toEqual([
      { name: "SwiftShader Device (LLVM 10.0.0)", vendor: "Google", isSoftware: true },
      { name: "Intel(R) Iris(R) Xe Graphics", vendor: "Intel", isSoftware: false },
      { name: "NVIDIA H100 80GB HBM3", vendor: "NVIDIA", isSoftware: false },
      { name: "llvmpipe (LLVM 15.0.6, 256 bits)", vendor: "Mesa", isSoftware: true },
      { name: "x".repeat(255), isSoftware: false },
    ]);
    expect(all.map(({ rank }) => rank)).toEqual([3, 1, 0, 3, 4]);
  });

  it("in software are known by the environment's names of drivers where Vulkan cannot be asked", () => {
    expect(namedSoftware({ VK_DRIVER_FILES: "/usr/lib/chromium/vk_swiftshader_icd.json" })).toEqual([
      { name: "swiftshader", isSoftware: true },
    ]);
    expect(namedSoftware({ VK_ICD_FILENAMES: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json" })?.[0]?.isSoftware).toBe(
      true,
    );
    expect(namedSoftware({ VK_DRIVER_FILES: "/usr/share/vulkan/icd.d/nvidia_icd.json" })).toBeUndefined();
    expect(namedSoftware({})).toBeUndefined();
  });

  it("of NVIDIA's driver have its version", () => {
    expect(parseNvidiaAdapters("575.57.08, NVIDIA H100 80GB HBM3\n575.57.08, NVIDIA L4\n")).toEqual([
      { name: "NVIDIA H100 80GB HBM3", vendor: "NVIDIA", driver: "575.57.08", isSoftware: false },
      { name: "NVIDIA L4", vendor: "NVIDIA", driver: "575.57.08", isSoftware: false },
    ]);
    expect(parseNvidiaAdapters("NVIDIA-SMI has failed because it couldn't communicate\n")).toEqual([]);
  });
});
