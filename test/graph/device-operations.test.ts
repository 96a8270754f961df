import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DEVICE_KERNELS } from "../../src/compute/gpu/kernels.ts";
import { deviceOperations } from "./device-operations.ts";
import { TABLE_FILE, tablePage } from "./device-table.ts";

describe("operations by device", () => {
  it("no graph is lowered for a device to an operation that it has no kernel for, or that nobody has looked at", () => {
    const wrong: string[] = [];
    for (const [name, devices] of deviceOperations()) {
      for (const device of ["webgpu", "cuda"] as const) {
        const row = DEVICE_KERNELS[name]?.[device];
        if (devices.has(device) && (row === undefined || row.startsWith("no")))
          wrong.push(`${name} on ${device}: ${row}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("the table in the documentation is the generated one (npx tsx test/graph/device-table.ts)", () => {
    expect(readFileSync(TABLE_FILE, "utf8")).toBe(tablePage());
  });
});
