import { describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { recordedConsole } from "./console.ts";

describe("aha doctor --devices", () => {
  it("says of each device whether it is here, and of the others what is missing", async () => {
    const console = recordedConsole();
    expect(await main(["doctor", "--devices", "--json"], console)).toBe(0);
    const { onnxruntime, devices } = JSON.parse(console.stdout());
    expect(onnxruntime.version).toMatch(/^\d+\.\d+/);
    const names = devices.map(({ device: name }: { device: string }) => name);
    expect(names).toEqual(["cpu", "webgpu", "cuda"]);
    expect(devices[0].found).toBe(true);
    expect(devices[0]).toMatchObject({ dtypes: ["float32"], emulated: ["bfloat16", "float16"] });
    expect(onnxruntime.warning).toBeUndefined();
    for (const { found, missing } of devices) if (!found) expect(missing).toMatch(/install|needs|Install|use webgpu/);
  });

  it("looks at no recipe", async () => {
    const console = recordedConsole();
    expect(await main(["doctor", "--devices", "recipe.yaml"], console)).not.toBe(0);
    expect(console.stderr()).toContain("no arguments but options");
  });
});
