/**
 * The smoke recipe on WebGPU: it ends, the same seed gives the same bytes, and a run that was stopped ends with them, too, or
 * goes on on the processors.
 */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { recordedConsole } from "../cli/console.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { expectSameBytesWhenStopped, SHORT } from "../recipe/stopped-run.ts";

const root = mkdtempSync(join(tmpdir(), "aha-webgpu-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a run on WebGPU", () => {
  it("that was stopped and resumed ends with the bytes of one that was not", async () => {
    await expectSameBytesWhenStopped(root, ["engine.device=webgpu"]);
  });

  it("that was stopped goes on on the processors where that is asked for, and says so", async () => {
    const out = join(root, "moved");
    const sets = SHORT.flatMap((override) => ["--set", override]);
    const args = ["run", SMOKE_RECIPE, ...sets, "--out", out, "--quiet"];
    const controller = new AbortController();
    const stopping = recordedConsole({ signal: controller.signal });
    const checkpoint = join(out, "checkpoints", "cold-start-000002");
    const watch = setInterval(() => {
      if (existsSync(checkpoint)) controller.abort();
    }, 20);
    expect(await main([...args, "--device", "webgpu"], stopping)).toBe(130);
    clearInterval(watch);
    const moved = recordedConsole();
    expect(await main([...args, "--resume", "--device", "cpu"], moved)).toBe(0);
    expect(moved.stderr()).toMatch(/device: webgpu → cpu.*not bit for bit/);
    expect(readRun(out).summary).toBeDefined();
  });
});
