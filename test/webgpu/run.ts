/**
 * `npm run test:webgpu [-- FILTER…]`: what needs a device that WebGPU computes on: the conformance suite, the CPU's numbers,
 * gradients from other programs, runs that are killed and resumed. `npm run test:webgpu -- --bisect [PROGRAM…]` names the first
 * node whose numbers differ from the CPU's, of every program or of those that have one of these texts in their names.
 *
 * Not part of `npm test`: it needs a GPU with its driver, or a software driver, and installs neither. Ends with code 1 where
 * anything differs or is missing.
 */

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GpuDevice } from "../../src/compute/gpu/gpu-device.ts";
import { WEBGPU } from "../../src/compute/gpu/webgpu.ts";
import { AhaError } from "../../src/errors.ts";

const SOFTWARE_DRIVER = `
Without a GPU a driver in software will do, slowly: SwiftShader, which Chromium brings. On Debian and Ubuntu

    apt-get install chromium libvulkan1
    VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json npm run test:webgpu

Mesa's lavapipe (mesa-vulkan-drivers) wants Mesa 23 or later. Where libvulkan1 is not installed, Chromium's folder has the
loader too: LD_LIBRARY_PATH=/usr/lib/chromium.
`;

async function main(args: readonly string[]): Promise<number> {
  try {
    await GpuDevice.open(WEBGPU, 2);
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    console.error(error.message);
    console.error(SOFTWARE_DRIVER);
    return 1;
  }
  const [first, ...programs] = args;
  if (first === "--bisect") return (await import("./bisect.ts")).bisect(programs);
  const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
  const options = ["run", "--config", "vitest.webgpu.config.ts", "--reporter=verbose", ...args];
  return spawnSync(process.execPath, [vitest, ...options], { stdio: "inherit" }).status ?? 1;
}

process.exit(await main(process.argv.slice(2)));
