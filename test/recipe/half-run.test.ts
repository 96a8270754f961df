import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, it } from "vitest";
import { expectSameBytesWhenStopped } from "./stopped-run.ts";

const root = mkdtempSync(join(tmpdir(), "aha-half-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("a run whose layers compute in float16", () => {
  it("that was stopped and resumed ends with the bytes of one that was not, the scale of the loss included", async () => {
    await expectSameBytesWhenStopped(root, ["engine.dtype=float16"]);
  });
});
