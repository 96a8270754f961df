/** A training stage of a pipeline, without the pipeline. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { localEngine } from "../../src/engine/local/local-kind.ts";
import { engines } from "../../src/engine/open.ts";
import { runTrainStage } from "../../src/pipeline/train-stage.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-train-stage-"));
  engines.add({
    ...localEngine,
    name: "keeps",
    shape: {},
    openPolicy: async (_spec, source, compute) => {
      const policy = await localEngine.openPolicy({ kind: "local" }, source, compute);
      return Object.defineProperty(policy, "capabilities", { value: { ...policy.capabilities, weightFiles: false } });
    },
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

it("whose adapter would not come back is refused before its first step", async () => {
  const recipe = await loadRecipe(SMOKE_RECIPE, [
    ...QUICK,
    "model.lora={rank: 2, alpha: 4}",
    "engine={kind: keeps, threads: 1}",
  ]);
  const folder = join(root, "stage");
  const stage = runTrainStage(recipe, {
    ...{ folder, output: join(root, "out"), offline: true, signal: new AbortController().signal },
    compute: Compute.open({ threads: 1 }),
    observe: () => {},
    report: () => Promise.reject(new Error("nothing to report")),
  });
  await expect(stage).rejects.toThrow(/does not give the adapter that it trains back/);
  const metrics = join(folder, "metrics.jsonl");
  expect(existsSync(metrics) ? readFileSync(metrics, "utf8") : "").toBe("");
});
