/** The dashboard where something is open, wrong, empty or gone: what is said, and that everybody can read it. */

import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dashboard } from "../../src/dashboard/server.ts";
import { Random } from "../../src/random.ts";
import { LOCK_NAME, lockRun } from "../../src/run/run-lock.ts";
import { metricsLine, rolloutRow, writeRun } from "../dashboard/written-run.ts";
import { axeFindings } from "./axe.ts";
import { openBrowser, openPage } from "./chromium.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

let root: string;
let browser: Browser;
let dashboard: Dashboard;
let empty: Dashboard;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-states-"));
  mkdirSync(join(root, "none"));
  writeRun(join(root, "runs/one"), { steps: 60, rollouts: 80, isFinished: true });
  writeRun(join(root, "runs/live"), { steps: 60, rollouts: 80, stage: { iterations: 200 } });
  lockRun(join(root, "runs/live"));
  writeRun(join(root, "runs/damaged"), { steps: 30, rollouts: 16 });
  for (const log of ["metrics", "rollouts", "evaluations", "events"]) {
    appendFileSync(join(root, `runs/damaged/${log}.jsonl`), 'no JSON\n{"half": \n[1]\n{"stage": 7}\n');
  }
  writeRun(join(root, "runs/unread"), { steps: 3, rollouts: 0 });
  writeFileSync(join(root, "runs/unread/recipe.yaml"), "stages: [\n");
  writeRun(join(root, "runs/nothing"), { steps: 0, rollouts: 0 });
  const pipeline = join(root, "runs/r1");
  mkdirSync(pipeline);
  writeFileSync(join(pipeline, "pipeline.yaml"), "name: r1\nquestion: Does it work?\npipeline:\n  - { name: base }\n");
  browser = await openBrowser();
  dashboard = await Dashboard.listen({ roots: ["runs"], from: root, port: 0 });
  empty = await Dashboard.listen({ roots: ["none"], from: root, port: 0 });
});

afterAll(async () => {
  await browser?.close();
  await dashboard?.close();
  await empty?.close();
  rmSync(root, { recursive: true, force: true });
});

const addressOf = (place: string, of = dashboard) => new URL(`#/${place}`, of.url).href;
const runPlace = (id: string, rest = "") => `run/${encodeURIComponent(`runs/${id}`)}${rest}`;

describe("a state of the dashboard", () => {
  const states: readonly (readonly [string, string, (page: Page) => Promise<unknown>])[] = [
    ["with the keys told", "", (page) => page.keyboard.press("?").then(() => page.getByRole("dialog").waitFor())],
    [
      "a pattern that is none",
      runPlace("one", "/rollouts?text=(&isPattern=true"),
      (page) =>
        page
          .getByRole("alert")
          .getByText(/regular expression/i)
          .waitFor(),
    ],
    [
      "a filter that nothing passes",
      runPlace("one", "/rollouts?text=nowhere"),
      (page) => page.locator(".count").getByText("0 of 80 completions").waitFor(),
    ],
    [
      "a run that is asked to stop",
      runPlace("live"),
      async (page) => {
        await page.getByRole("button", { name: "Stop …" }).click();
        await page.getByRole("button", { name: "Let it run" }).waitFor();
      },
    ],
    [
      "lines that are damaged",
      runPlace("damaged"),
      async (page) => {
        await page.getByText("metrics.jsonl: 3 lines are no JSON objects and left out (line 31, 32, 33).").waitFor();
        await page.getByRole("link", { name: "Rollouts" }).click();
        await page.locator(".count").getByText("damaged lines left out").waitFor();
      },
    ],
    ["a recipe that cannot be read", runPlace("unread"), (page) => page.getByRole("alert").waitFor()],
    [
      "a run that has done nothing",
      runPlace("nothing"),
      (page) => page.getByRole("heading", { name: "nothing" }).waitFor(),
    ],
    [
      "its completions, of which there are none",
      runPlace("nothing", "/rollouts"),
      (page) => page.locator(".count").waitFor(),
    ],
    [
      "a pipeline that has not begun",
      "pipeline/runs%2Fr1",
      (page) => page.getByRole("heading", { name: "r1" }).waitFor(),
    ],
    [
      "runs that cannot be compared",
      "compare?ids=runs%252Fone%2Cruns%252Fnowhere",
      (page) => page.getByRole("alert").waitFor(),
    ],
    ["one run to compare", "compare?ids=runs%252Fone", async () => {}],
  ];
  it.each(states)("says what is so, and can be read: %s", async (_, place, prepare) => {
    const { page } = await openPage(browser, { bypassCSP: true });
    page.setDefaultTimeout(60_000);
    await page.goto(addressOf(place));
    await page.locator("h1").waitFor();
    await prepare(page);
    const findings: Record<string, string[]> = {};
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(300);
      findings[colorScheme] = await axeFindings(page);
    }
    expect(findings).toEqual({ light: [], dark: [] });
    await page.context().close();
  });

  it("lists runs that cannot be read beside those that can; of an empty folder it says how one begins", async () => {
    const { page } = await openPage(browser, { bypassCSP: true });
    await page.goto(addressOf(""));
    await page.getByText("runs/one").first().waitFor();
    await page.getByText("runs/unread").first().waitFor();
    await page.goto(addressOf("", empty));
    await page.getByText("There is no run here yet.").waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await page.context().close();
  });
});

describe("a run that goes on", () => {
  it("does not talk all the time to those who hear the page, and says when it has ended", async () => {
    const path = join(root, "runs/live");
    const { page, faults } = await openPage(browser);
    page.setDefaultTimeout(60_000);
    await page.goto(addressOf(runPlace("live", "/rollouts")));
    await page.locator(".count").getByText("80 of 80").waitFor();
    await page.evaluate(() => {
      const told: string[] = [];
      (globalThis as Json).told = told;
      new MutationObserver((changes) => {
        for (const { target } of changes) {
          const region = (target instanceof Element ? target : target.parentElement)?.closest(
            "[role=status], [role=alert]",
          );
          if (region) told.push(region.textContent ?? "");
        }
      }).observe(document.body, { childList: true, characterData: true, subtree: true });
    });
    const random = new Random(3, "states");
    for (let row = 80; row < 100; row++) {
      appendFileSync(join(path, "metrics.jsonl"), metricsLine(row - 19, random));
      appendFileSync(join(path, "rollouts.jsonl"), `${JSON.stringify(rolloutRow(row, random, {}))}\n`);
      await page.waitForTimeout(60);
    }
    await page.locator(".count").getByText("100 of 100").waitFor();
    expect(await page.evaluate(() => (globalThis as Json).told)).toEqual([]);
    await page.getByLabel("Search prompts and completions").fill("nowhere");
    await page.getByRole("status").getByText("0 of 100 completions").waitFor({ state: "attached" });
    rmSync(join(path, LOCK_NAME));
    await expect.poll(() => page.evaluate(() => (globalThis as Json).told.join("\n"))).toMatch(/ended|killed|stopped/);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("that is deleted while its completions are looked at is told to be gone, in every tab", async () => {
    for (const tab of ["curves", "rollouts", "answers", "time", "recipe", "diary"]) {
      const path = join(root, "runs/doomed");
      writeRun(path, { steps: 20, rollouts: 16 });
      const { page, faults } = await openPage(browser);
      page.setDefaultTimeout(60_000);
      await page.goto(addressOf(runPlace("doomed", `/${tab}`)));
      await page.locator(".facts").first().waitFor();
      rmSync(path, { recursive: true });
      await page
        .getByText(/is gone/)
        .first()
        .waitFor();
      expect(faults.filter((fault) => !/410|404/.test(fault))).toEqual([]);
      await page.context().close();
    }
  });
});
