import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device } from "../../src/compute/device.ts";
import { devices } from "../../src/compute/devices.ts";
import { RuntimeFailure } from "../../src/errors.ts";
import { runSmoke } from "./smoke.ts";
import { bytesOf, SHORT } from "./stopped-run.ts";

const root = mkdtempSync(join(tmpdir(), "aha-lost-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Programs that may still run before the device is lost, once. */
let left = Number.POSITIVE_INFINITY;

/** The CPU, as a device that can be lost. */
function frail(cpu: Device): Device {
  const load: Device["load"] = async (lowered) => {
    const session = await cpu.load(lowered);
    return {
      bind: (inputs, outputs) => {
        const run = session.bind(inputs, outputs);
        return async () => {
          if (left-- > 0) return run();
          left = Number.POSITIVE_INFINITY;
          throw new RuntimeFailure("ONNX Runtime, Run: device lost");
        };
      },
      dispose: () => session.dispose(),
    };
  };
  return new Proxy(cpu, {
    get: (own, key) => {
      const value: unknown = key === "load" ? load : own[key as keyof Device];
      return typeof value === "function" ? value.bind(own) : value;
    },
  });
}

devices.add({
  name: "frail",
  summary: "a device that can be lost",
  open: async ({ threads }) => frail(CpuDevice.open(threads)),
});

describe("a device that is lost in the middle of a step", () => {
  it("ends the run with an error, and the run that is resumed ends with the bytes of one that lost nothing", async () => {
    const overrides = [...SHORT, "engine.device=frail"];
    const whole = join(root, "whole");
    await runSmoke(whole, { overrides });
    const lost = join(root, "lost");
    // Past the first checkpoint.
    left = 24;
    await expect(runSmoke(lost, { overrides })).rejects.toThrow("device lost");
    await runSmoke(lost, { overrides, resume: true });
    expect(bytesOf(lost)).toEqual(bytesOf(whole));
  });
});
