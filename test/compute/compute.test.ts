import { describe, expect, it } from "vitest";
import { Compute, defaultThreads } from "../../src/compute/compute.ts";
import { ConfigError, RuntimeFailure } from "../../src/errors.ts";

describe("Compute", () => {
  it("has the threads that it was asked for, or one per processor, at most 8", () => {
    expect(Compute.open({ threads: 3 }).threads).toBe(3);
    expect(Compute.open().threads).toBe(defaultThreads());
    expect(defaultThreads()).toBeGreaterThanOrEqual(1);
    expect(defaultThreads()).toBeLessThanOrEqual(8);
  });

  it.each([0, 1.5, 1e9, Number.NaN])("refuses %d threads: ConfigError", (threads) => {
    expect(() => Compute.open({ threads })).toThrow(ConfigError);
    expect(() => Compute.open({ threads })).toThrow(/whole number of threads from 1 to 1024/);
  });

  it("refuses a device that is not there, with those that are: ConfigError", () => {
    expect(() => Compute.open({ device: "cpus" })).toThrow(ConfigError);
    expect(() => Compute.open({ device: "cpus" })).toThrow(
      /There is no device "cpus"; known: cpu.* Did you mean cpu\?/,
    );
  });

  it("hands out the process's one device, and refuses another number of threads: RuntimeFailure", async () => {
    const device = await Compute.open({ threads: 1 }).device();
    expect(await Compute.open({ threads: 1 }).device()).toBe(device);
    await expect(Compute.open({ threads: 3 }).device()).rejects.toThrow(RuntimeFailure);
    await expect(Compute.open({ threads: 3 }).device()).rejects.toThrow(/computes with 1 threads already, not 3/);
  });

  it("is the same on its own device", () => {
    const compute = Compute.open({ threads: 2 });
    expect(compute.on(undefined)).toBe(compute);
    expect(compute.on("cpu")).toBe(compute);
  });
});
