/** A library of ONNX Runtime beside libraries of CUDA of which one is damaged: what else there is is found all the same. */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { defaultThreads } from "../../src/compute/compute.ts";
import { devices } from "../../src/compute/devices.ts";
import { LIBRARY_VARIABLE } from "../../src/compute/ort/version.ts";
import { recordedConsole } from "./console.ts";

const root = mkdtempSync(join(tmpdir(), "aha-damaged-cuda-"));
const packages = join(root, "cuda/lib/python3.12/site-packages");
const damaged = join(packages, "nvidia/cuda_runtime/lib/libcudart.so.13");

describe.runIf(process.platform === "linux")("a damaged library of CUDA", () => {
  beforeAll(() => {
    const capi = join(packages, "onnxruntime/capi");
    for (const folder of [capi, dirname(damaged)]) mkdirSync(folder, { recursive: true });
    const own = join(
      dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json")),
      ...["bin", "napi-v6", process.platform, process.arch],
    );
    const library = join(capi, "libonnxruntime.so.1.30.0");
    symlinkSync(join(own, readdirSync(own).find((name) => name.startsWith("libonnxruntime.so"))!), library);
    for (const path of [damaged, join(capi, "libonnxruntime_providers_cuda.so")]) writeFileSync(path, "");
    process.env[LIBRARY_VARIABLE] = library;
  });
  afterAll(() => {
    delete process.env[LIBRARY_VARIABLE];
    rmSync(root, { recursive: true, force: true });
  });

  it("is named by aha doctor --devices with what mends it, beside the devices that are here", async () => {
    const console = recordedConsole();
    expect([await main(["doctor", "--devices", "--json"], console), console.stderr()]).toEqual([0, ""]);
    const [cpu, , cuda] = JSON.parse(console.stdout()).devices;
    expect(cpu).toMatchObject({ device: "cpu", found: true });
    expect(cuda).toMatchObject({ device: "cuda", found: false });
    expect(cuda.missing).toContain(`Cannot load ${damaged}, which CUDA needs: `);
    expect(cuda.missing).toContain(`${join(root, "cuda/bin/pip")} install --force-reinstall`);
  });

  it("keeps auto from none of the other devices", async () => {
    expect(["webgpu", "cpu"]).toContain(await devices.get("auto").resolve?.({ threads: defaultThreads() }));
  });
});
