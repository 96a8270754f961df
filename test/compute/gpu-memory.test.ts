import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { amdMemories, parseNvidiaMemories } from "../../src/compute/gpu/gpu-memory.ts";

const root = mkdtempSync(join(tmpdir(), "aha-gpu-memory-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("how much memory a GPU has", () => {
  it("is what nvidia-smi prints, in MiB", () => {
    const text = "143771, 143340, NVIDIA H200\n81559, 1, NVIDIA H100 80GB HBM3\n";
    expect(parseNvidiaMemories(text)).toEqual([
      { name: "NVIDIA H200", bytes: 143771 * 2 ** 20, freeBytes: 143340 * 2 ** 20 },
      { name: "NVIDIA H100 80GB HBM3", bytes: 81559 * 2 ** 20, freeBytes: 2 ** 20 },
    ]);
    expect(
      parseNvidiaMemories("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
    ).toEqual([]);
    expect(parseNvidiaMemories("[N/A], [N/A], GB10")).toEqual([]);
  });

  it("is what AMD's driver leaves in /sys", () => {
    const device = join(root, "card1", "device");
    mkdirSync(device, { recursive: true });
    mkdirSync(join(root, "card0", "device"), { recursive: true });
    mkdirSync(join(root, "card1-DP-1"));
    writeFileSync(join(device, "mem_info_vram_total"), "17163091968\n");
    writeFileSync(join(device, "mem_info_vram_used"), "163091968\n");
    expect(amdMemories(root)).toEqual([{ name: "AMD's GPU card1", bytes: 17163091968, freeBytes: 17000000000 }]);
    expect(amdMemories(join(root, "absent"))).toEqual([]);
  });
});
