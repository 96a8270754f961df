/** What this adapter says where it cannot do what is asked. */

import { describe, expect, it } from "vitest";
import { computingOn } from "../../src/compute/computing.ts";
import { requireDType } from "../../src/compute/device-dtype.ts";
import { DeviceMemoryError } from "../../src/compute/gpu/faults.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { openEngine } from "../../src/engine/open.ts";
import { AhaError } from "../../src/errors.ts";
import { MODELS, writeModel } from "../engine/models.ts";
import { gpu } from "./device.ts";

/** More than drivers allow for one buffer (SwiftShader: 1 GiB); other adapters may take it. */
const ELEMENTS = 2 ** 28 + 2 ** 10;

describe("a driver without numbers of 16 bits (shader-f16)", () => {
  it("is refused by name when a model is opened, and computes on in float32", async ({ skip }) => {
    const refused = await gpu.requireHalf("float16").then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    if (refused === undefined) return skip("this driver has shader-f16");
    expect(refused).toBeInstanceOf(AhaError);
    expect(refused.message).toMatch(/cannot compute in float16 here: .*Take float32 for engine\.dtype/s);
    // What failed is remembered, and is said again.
    await expect(requireDType(gpu, "float16")).rejects.toThrow(refused.message);

    const path = await writeModel(MODELS["tied, query and key norms"]);
    const compute = computingOn(gpu, diskFolder);
    await expect(openEngine({ kind: "local", dtype: "float16" }, { path }, compute)).rejects.toThrow(refused.message);
    const engine = await openEngine({ kind: "local" }, { path }, compute);
    const row = { promptTokens: Int32Array.of(3), completionTokens: Int32Array.of(4, 5) };
    const { logprobs } = await engine.score([row], { temperature: 1 });
    await engine.dispose();
    expect([...logprobs[0]!].every(Number.isFinite)).toBe(true);
  });
});

describe("an upload of more than the adapter's largest buffer", () => {
  it("is an error at once that says what helps, and the device computes on", async ({ skip }) => {
    const tensor = gpu.allocate("float32", [ELEMENTS]);
    let thrown: unknown;
    try {
      gpu.upload(tensor, new Float32Array(ELEMENTS));
    } catch (error) {
      thrown = error;
    }
    tensor.dispose();
    if (thrown === undefined) return skip("this adapter allows buffers of more than 1 GiB");
    expect(thrown).toBeInstanceOf(DeviceMemoryError);
    expect((thrown as Error).message).toContain("allows no buffer of that size");

    const small = gpu.allocate("float32", [4]);
    gpu.upload(small, Float32Array.of(1, 2, 3, 4));
    const found = new Float32Array(4);
    await gpu.download(small, found);
    small.dispose();
    expect([...found]).toEqual([1, 2, 3, 4]);
  });
});
