/** The smoke recipe on WebGPU: it ends, the same seed gives the same bytes, and a run that was stopped ends with them, too. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { expectSameBytesWhenStopped } from "../recipe/stopped-run.ts";

const root = mkdtempSync(join(tmpdir(), "aha-webgpu-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a run on WebGPU", () => {
  it("that was stopped and resumed ends with the bytes of one that was not", async () => {
    await expectSameBytesWhenStopped(root, ["engine.device=webgpu"]);
  });
});
