/** Which device computes in which dtype, what is said of one that does not, and which one `auto` takes. */

import { describe, expect, it } from "vitest";
import { firstThere } from "../../src/compute/auto-device.ts";
import { Compute } from "../../src/compute/compute.ts";
import type { Device, DeviceKind } from "../../src/compute/device.ts";
import { dtypeRefusal, requireDType, samplingDTypes } from "../../src/compute/device-dtype.ts";
import { devices } from "../../src/compute/devices.ts";
import { AhaError, EngineError } from "../../src/errors.ts";
import type { LoweringTarget } from "../../src/graph/target.ts";
import { ONNX_RUNTIME_CPU, ONNX_RUNTIME_CUDA, ONNX_RUNTIME_WEBGPU } from "../../src/graph/target.ts";

const deviceOf = (name: string, target: LoweringTarget, more: Partial<Device> = {}) =>
  ({ name, target, ...more }) as Device;
const cuda = deviceOf("cuda", ONNX_RUNTIME_CUDA);
const webgpu = deviceOf("webgpu", ONNX_RUNTIME_WEBGPU);
const withoutHalf = { ...webgpu, requireHalf: () => Promise.reject(new AhaError("webgpu has no shader-f16")) };
const cpu = deviceOf("cpu", ONNX_RUNTIME_CPU);

const kindOf = (device: Device): DeviceKind => ({ name: device.name, summary: "", open: async () => device });
const absent = (name: string): DeviceKind => ({
  ...{ name, summary: "" },
  open: () => Promise.reject(new AhaError(`there is no ${name}`)),
});

/** Warnings of `work`. */
async function heard<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly warnings: readonly string[] }> {
  // Those of before come in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  const warnings: string[] = [];
  const hear = ({ name, message }: Error) => name === "AhaWarning" && warnings.push(message);
  process.on("warning", hear);
  try {
    const result = await work();
    await new Promise((resolve) => setImmediate(resolve));
    return { result, warnings };
  } finally {
    process.off("warning", hear);
  }
}

describe("dtypes of devices", () => {
  it("in which a model samples: CUDA's are of 16 bits", () => {
    expect(samplingDTypes(ONNX_RUNTIME_CPU)).toEqual(["float32", "bfloat16", "float16"]);
    expect(samplingDTypes(ONNX_RUNTIME_WEBGPU)).toEqual(["float32", "float16"]);
    expect(samplingDTypes(ONNX_RUNTIME_CUDA)).toEqual(["bfloat16", "float16"]);
  });

  it("that a device does not have are refused with the key and the value that help", async () => {
    expect(dtypeRefusal(cuda, "float32")).toMatch(/^cuda cannot sample in float32.*Set engine\.dtype: bfloat16/);
    expect(dtypeRefusal(webgpu, "bfloat16")).toMatch(/take float32 or float16 for engine\.dtype/);
    await expect(requireDType(cuda, "float32")).rejects.toThrow(EngineError);
    // What only scores, or is only trained, needs no cache.
    await requireDType(cuda, "float32", { samples: false });
    await requireDType(cuda, "bfloat16");
    await expect(requireDType(withoutHalf, "float16")).rejects.toThrow("no shader-f16");
  });

  it("are known of every registered device before it is opened, but of auto", () => {
    expect(devices.all.filter(({ target }) => target === undefined).map(({ name }) => name)).toEqual(["auto"]);
  });
});

describe("auto", () => {
  const take = async (kinds: readonly DeviceKind[], dtype?: "float32" | "bfloat16" | "float16") => {
    const options = { threads: 1, ...(dtype && { dtype }) };
    return (await firstThere(kinds, kindOf(cpu), options)).kind.name;
  };

  it("takes the first that is there", async () => {
    expect(await take([absent("cuda"), kindOf(webgpu)])).toBe("webgpu");
    expect(await take([absent("cuda"), absent("webgpu")])).toBe("cpu");
    expect(await take([absent("cuda"), absent("webgpu")], "bfloat16")).toBe("cpu");
  });

  it("passes over one that cannot sample in this dtype, and says so", async () => {
    const { result, warnings } = await heard(() => take([kindOf(cuda), kindOf(webgpu)]));
    expect(result).toBe("webgpu");
    expect(warnings).toEqual([
      expect.stringMatching(/auto takes webgpu\. cuda cannot sample.*engine\.dtype: bfloat16/),
    ]);
    expect(await take([kindOf(cuda), absent("webgpu")])).toBe("cpu");
    expect(await take([kindOf(cuda), kindOf(webgpu)], "bfloat16")).toBe("cuda");
    expect(await take([absent("cuda"), kindOf(webgpu)], "float16")).toBe("webgpu");
  });

  it("takes no driver in software, which is slower than the processors, and says so", async () => {
    const software = { ...kindOf(webgpu), adapters: async () => [{ name: "llvmpipe", isSoftware: true }] };
    const { result, warnings } = await heard(() => take([absent("cuda"), software]));
    expect(result).toBe("cpu");
    expect(warnings).toEqual([expect.stringMatching(/auto takes cpu\. llvmpipe is a driver in software/)]);
    expect(await take([absent("cuda"), software], "bfloat16")).toBe("cpu");
    const gpu = { ...kindOf(webgpu), adapters: async () => [{ name: "a GPU", isSoftware: false }] };
    expect(await take([absent("cuda"), gpu])).toBe("webgpu");
    expect(await take([absent("cuda"), { ...kindOf(webgpu), adapters: async () => undefined }])).toBe("webgpu");
  });

  it("does not emulate 16 bits on the processors where a GPU is there", async () => {
    await expect(take([absent("cuda"), kindOf(webgpu)], "bfloat16")).rejects.toThrow(
      /float32 or float16 for engine\.dtype/,
    );
    await expect(take([absent("cuda"), kindOf(withoutHalf)], "float16")).rejects.toThrow("no shader-f16");
  });
});

describe("a device with something to be known of it", () => {
  it("is warned of once in a process, whoever opens it", async () => {
    const device = { ...cpu, warnings: ["a library of another version"] };
    const asked: unknown[] = [];
    devices.add({
      ...{ name: "warned-of", summary: "" },
      open: async (options) => {
        asked.push(options);
        return device;
      },
    });
    const { warnings } = await heard(async () => {
      for (const dtype of [undefined, "float16", "float32"] as const) {
        expect(await Compute.open({ threads: 3, device: "warned-of" }).device(dtype)).toBe(device);
      }
    });
    expect(warnings).toEqual(["a library of another version"]);
    expect(asked).toEqual(["float32", "float16", "float32"].map((dtype) => ({ threads: 3, dtype })));
  });
});
