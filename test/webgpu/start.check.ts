/** `npm start` on WebGPU, as short as docs/gpu.md has it: to its end. */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { recordedConsole } from "../cli/console.ts";
import { shortStartOverrides, TINY_RECIPE } from "./short-start.ts";

const root = mkdtempSync(join(tmpdir(), "aha-webgpu-start-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("npm start on WebGPU", () => {
  it("comes to its end with the keys of docs/gpu.md", async () => {
    const console = recordedConsole();
    const overrides = shortStartOverrides();
    expect(overrides).toContain("engine.device=webgpu");
    const out = join(root, "run");
    const sets = overrides.flatMap((override) => ["--set", override]);
    expect([await main(["run", TINY_RECIPE, ...sets, "--out", out, "--quiet"], console), console.stderr()]).toEqual([
      0,
      "",
    ]);
    expect(existsSync(join(out, "report.html"))).toBe(true);
    expect(readRun(out).events.find(({ event }) => event === "started")).toMatchObject({ device: "webgpu" });
  });
});
