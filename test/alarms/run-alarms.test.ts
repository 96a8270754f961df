import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { RunTerminal } from "../../src/cli/terminal.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import type { RunEvent } from "../../src/recipe/observer.ts";
import { RunAlarms } from "../../src/recipe/run-alarms.ts";
import { unfinishedReportHtml } from "../../src/report/unfinished.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-alarms-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const alarmsIn = (path: string) => readRun(path).events.filter(({ event }) => event === "alarm");

it("alarms are written into the diary and told, once, however often the run is resumed", async () => {
  const recipe = await loadRecipe(SMOKE_RECIPE);
  const path = join(root, "run");
  const told: RunEvent[] = [];
  const session = (run: RunDirectory, steps: number) => {
    const alarms = new RunAlarms(recipe, run, (event) => told.push(event));
    const writer = run.stage("r1-zero");
    for (let step = 1; step <= steps; step++) {
      const row = { step, reward: 0, "completions/clipped_ratio": 0.9 };
      writer.metrics(row);
      alarms.row("r1-zero", row);
    }
    run.close();
  };
  session(await RunDirectory.create(path, recipe), 5);
  expect(alarmsIn(path)).toMatchObject([{ stage: "r1-zero", step: 3, alarm: "truncation", state: "raised" }]);
  // Without a checkpoint the run begins anew, and comes by the same step.
  session(await RunDirectory.resume(path, recipe), 8);
  expect(alarmsIn(path)).toHaveLength(1);
  expect(told).toMatchObject([{ type: "alarm", alarm: "truncation" }]);

  const page = unfinishedReportHtml(readRun(path));
  expect(page).toContain("Alarms and notes");
  expect(page).toContain("90 % of the completions are cut");

  let text = "";
  const terminal = new RunTerminal(recipe, { write: (more) => (text += more), interactive: false });
  terminal.observe(told[0]!);
  expect(text).toMatch(/^ {2}Alarm, step 3: 90 % of the completions are cut .*\n$/);
});
