import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DEVICE_KERNELS } from "../../src/compute/gpu/kernels.ts";
import { engineLossNames } from "../../src/losses/engine-losses.ts";
import { families } from "../../src/model/families/registry.ts";
import { deviceOperations } from "./device-operations.ts";
import { TABLE_FILE, tablePage } from "./device-table.ts";
import { EVERY_PROGRAM } from "./every-program.ts";

const SRC = join(import.meta.dirname, "../../src");
/** Functions that make a graph and need no program of their own in the list, and why. */
const NOT_LISTED: Readonly<Record<string, string>> = {
  triedProgram: "every device computes it when it is opened, and its results are checked",
  rewardGraph: "the beginning of scoringGraph and pairGraph",
};

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

describe("the list of every program", () => {
  const listed = (key: "madeBy" | "loss" | "family") => new Set(EVERY_PROGRAM.map((program) => program[key]));

  it("has every loss that an engine differentiates, and every family of models", () => {
    expect([...listed("loss")].filter((name) => name !== undefined)).toEqual(expect.arrayContaining(engineLossNames()));
    const names = families.all.map(({ name }) => name);
    expect([...listed("family")].filter((name) => name !== undefined).sort()).toEqual(names.sort());
  });

  it("has a program of every function in src that makes a graph", async () => {
    const makers: string[] = [];
    for (const path of await readdir(SRC, { recursive: true })) {
      if (!path.endsWith(".ts")) continue;
      const [, ...functions] = readFileSync(join(SRC, path), "utf8").split(/^(?:export )?(?:async )?function /m);
      const making = functions.filter((text) => /\bnew Graph\(\)|\): ProgramGraph \{/.test(text));
      makers.push(...making.map((text) => /^\w+/.exec(text)![0]));
    }
    expect(makers.length).toBeGreaterThan(10);
    const names = listed("madeBy");
    expect(makers.filter((name) => !names.has(name) && !(name in NOT_LISTED))).toEqual([]);
  });

  it("names each program once", () => {
    const names = EVERY_PROGRAM.map(({ name }) => name);
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });
});
