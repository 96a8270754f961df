/**
 * How much memory GPUs have. ONNX Runtime does not say it, so the driver is asked: NVIDIA's `nvidia-smi`, what Linux's driver of
 * AMD's GPUs leaves in /sys, and on Apple's processors, whose GPU shares the machine's memory, the machine. Of others it is
 * not known. Nothing is computed, and nothing on the GPU is opened.
 */

import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import type { DeviceMemory } from "../device.ts";

const MIB = 2 ** 20;
const DRIVER_SECONDS = 10;
const DRM = "/sys/class/drm";

/** Of all GPUs whose drivers say it; NVIDIA's first. */
export async function gpuMemories(): Promise<readonly DeviceMemory[]> {
  return [...(await nvidiaMemories()), ...amdMemories(DRM), ...appleMemory()];
}

/** Of NVIDIA's GPUs, in the driver's order; none where there is no driver. */
export async function nvidiaMemories(): Promise<readonly DeviceMemory[]> {
  const asked = ["--query-gpu=memory.total,memory.free,name", "--format=csv,noheader,nounits"];
  const text = await new Promise<string>((resolve) => {
    execFile("nvidia-smi", asked, { timeout: 1000 * DRIVER_SECONDS, windowsHide: true }, (error, stdout) =>
      resolve(error ? "" : stdout),
    );
  });
  return parseNvidiaMemories(text);
}

/** From lines `81559, 81043, NVIDIA H100 80GB HBM3`, in MiB. */
export function parseNvidiaMemories(text: string): readonly DeviceMemory[] {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*(\d+),\s*(\d+),\s*(.+?)\s*$/.exec(line);
    return found ? [{ name: found[3]!, bytes: Number(found[1]) * MIB, freeBytes: Number(found[2]) * MIB }] : [];
  });
}

/** From `card0/device/mem_info_vram_total` and `…_used` below a folder. */
export function amdMemories(folder: string): readonly DeviceMemory[] {
  const numberIn = (card: string, file: string): number | undefined => {
    try {
      const value = Number(readFileSync(join(folder, card, "device", file), "utf8"));
      return Number.isSafeInteger(value) && value > 0 ? value : undefined;
    } catch {
      return undefined;
    }
  };
  let cards: string[];
  try {
    cards = readdirSync(folder).filter((name) => /^card\d+$/.test(name));
  } catch {
    return [];
  }
  return cards.sort().flatMap((card) => {
    const bytes = numberIn(card, "mem_info_vram_total");
    if (bytes === undefined) return [];
    const used = numberIn(card, "mem_info_vram_used");
    return [{ name: `AMD's GPU ${card}`, bytes, ...(used !== undefined && { freeBytes: bytes - used }) }];
  });
}

function appleMemory(): readonly DeviceMemory[] {
  if (process.platform !== "darwin" || process.arch !== "arm64") return [];
  return [{ name: "Apple's GPU, which shares the machine's memory", bytes: totalmem() }];
}
