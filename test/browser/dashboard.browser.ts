/** The dashboard in a real browser: real runs and large ones, hostile completions, the accessibility checker. */

import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dashboard } from "../../src/dashboard/server.ts";
import { Random } from "../../src/random.ts";
import { writeReport } from "../../src/report/report.ts";
import { PROGRAM, requireProgram } from "../cli/program.ts";
import { allowedMs } from "../cpu-time.ts";
import { metricsLine, rolloutRow, writeRun } from "../dashboard/written-run.ts";
import { writeMadeUpRun } from "../report/made-up-run.ts";
import { axeFindings } from "./axe.ts";
import { loadingTime, openBrowser, openPage } from "./chromium.ts";

const STEPS = 20_000;
const ROLLOUTS = 100_000;

/** What a completion may try. */
const HOSTILE = [
  '<script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">',
  "</div></article><iframe src='javascript:parent.document.title=`owned`'></iframe>",
  "\u202Egnorw si txet siht\u202C \u2066isolated\u2069 \u200B\u0000\u0007\u001b[31mred",
  `${"Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘".repeat(20)}`,
  "مرحبا بالعالم ".repeat(40),
  "w".repeat(2_000_000),
  "\n".repeat(5000),
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a template that nothing may fill in
  "{{constructor.constructor('document.title=`owned`')()}} ${document.title='owned'} javascript:alert(1)",
];

let root: string;
let browser: Browser;
let dashboard: Dashboard;
const children: ChildProcess[] = [];
/** Where pictures of pages go, for people to look at; only where asked for. */
const pictures = process.env.AHA_SCREENSHOTS;

beforeAll(async () => {
  requireProgram();
  root = mkdtempSync(join(tmpdir(), "aha-browser-"));
  if (pictures) mkdirSync(pictures, { recursive: true });
  writeRun(join(root, "runs/large"), { steps: STEPS, rollouts: ROLLOUTS, isFinished: true });
  writeRun(join(root, "runs/one"), { steps: 400, rollouts: 800, isFinished: true, withTokens: true });
  writeRun(join(root, "runs/two"), {
    steps: 400,
    rollouts: 200,
    seed: 3,
    isFinished: true,
    stage: { learningRate: 0.002 },
  });
  writeRun(join(root, "runs/hostile"), {
    steps: 20,
    rollouts: HOSTILE.length * 2,
    completions: HOSTILE,
    withTokens: true,
  });
  browser = await openBrowser();
  dashboard = await Dashboard.listen({ roots: ["runs"], from: root, port: 0 });
});

afterAll(async () => {
  await browser?.close();
  await dashboard?.close();
  for (const child of children) child.kill("SIGKILL");
  rmSync(root, { recursive: true, force: true });
});

const addressOf = (place: string) => new URL(`#/${place}`, dashboard.url).href;
const runAddress = (id: string, rest = "") => addressOf(`run/${encodeURIComponent(`runs/${id}`)}${rest}`);

async function picture(page: Page, name: string): Promise<void> {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

/** Charts that have drawn something: a canvas whose pixels are not all the same. */
async function drawnCharts(page: Page): Promise<number> {
  return page.evaluate(() => {
    const isDrawn = (canvas: HTMLCanvasElement) => {
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      // Blue lines: the grid and the words have none of it.
      for (let i = 0; i < data.length; i += 4) if (data[i + 3]! > 200 && data[i + 2]! - data[i]! > 90) return true;
      return false;
    };
    return [...document.querySelectorAll("canvas")].filter(isDrawn).length;
  });
}

describe("a large run", () => {
  it(`of ${STEPS} steps and ${ROLLOUTS} rollouts is shown, searched and opened in no time`, async () => {
    const { page, faults } = await openPage(browser);
    const begun = performance.now();
    await page.goto(runAddress("large"));
    await page.waitForFunction(() => document.querySelectorAll("canvas").length >= 10);
    await expect.poll(() => drawnCharts(page), { timeout: 20_000 }).toBeGreaterThanOrEqual(8);
    console.log(`charts of ${STEPS} steps after ${Math.round(performance.now() - begun)} ms`);
    await picture(page, "curves");

    await page.goto(runAddress("large", "/rollouts"));
    await page
      .locator(".count")
      .getByText(`${ROLLOUTS.toLocaleString("en-US")} of`)
      .waitFor({ timeout: 120_000 });
    const rows = page.locator(".grid-row");
    expect(await rows.count()).toBeLessThan(60);
    await page.locator(".grid-scroll").evaluate((node) => node.scrollTo(0, node.scrollHeight));
    await page.locator(`[aria-rowindex="${ROLLOUTS}"]`).waitFor();

    const times: number[] = [];
    /** Does something that asks anew, and notes how long the answer took to find. */
    const timed = async (change: () => Promise<unknown>) => {
      const answered = page.waitForResponse(
        (response) => response.url().includes("/api/rollouts") && response.url().includes("offset=0"),
      );
      await change();
      const { milliseconds, matched } = (await (await answered).json()) as { milliseconds: number; matched: number };
      expect(matched).toBeGreaterThan(0);
      times.push(milliseconds);
    };
    const search = page.getByLabel("Search prompts and completions");
    await timed(() => search.fill("too high"));
    await timed(() => page.getByRole("columnheader", { name: "advantage" }).getByRole("button").click());
    await timed(() => page.getByLabel("verdict").selectOption("true"));
    await timed(() => search.fill("<answer>"));
    await timed(() => page.getByLabel("regex").check());
    await timed(() => search.fill("<answer>\\(4\\d\\+7\\)"));
    await timed(() => page.getByRole("columnheader", { name: "tokens" }).getByRole("button").click());
    console.log(`milliseconds of searches: ${times.map((time) => time.toFixed(0)).join(", ")}`);
    expect([...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]).toBeLessThan(allowedMs(200));

    await rows.first().click();
    await page.getByRole("heading", { name: "Its group" }).waitFor();
    expect(await page.locator(".items li").count()).toBe(8);
    const address = page.url();
    expect(address).toMatch(/row=\d+/);
    await page.keyboard.press("j");
    await expect.poll(() => page.url()).not.toBe(address);
    await page.keyboard.press("Escape");
    await expect.poll(() => page.locator(".opened").count()).toBe(0);
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

describe("how soon it is there", () => {
  it("loads within a second: the list of runs, and a run's curves", async () => {
    for (const [what, address, charts] of [
      ["the list", addressOf(""), 0],
      ["curves", runAddress("one"), 6],
    ] as const) {
      const times: number[] = [];
      // The best of some: what else the machine does is not the page's.
      for (let round = 0; round < 5; round++) times.push(await loadingTime(browser, address, charts));
      console.log(`${what}: loaded after ${times.map(Math.round).join(", ")} ms`);
      expect(Math.min(...times)).toBeLessThan(allowedMs(1000));
    }
  });

  it("has a row on the page within a second of its being written: in the list, on a run's page, among completions", async () => {
    const path = join(root, "runs/followed");
    writeRun(path, { steps: 30, rollouts: 80, stage: { iterations: 400 } });
    const random = new Random(2, "followed");
    let [steps, completions] = [30, 80];
    const places = [
      ["the list", addressOf(""), ".runs", () => `${steps} of 400`],
      ["facts", runAddress("followed"), ".facts", () => `${steps} of 400`],
      ["completions", runAddress("followed", "/rollouts"), ".count", () => `${completions} of ${completions}`],
    ] as const;
    for (const [what, address, selector, text] of places) {
      const { page, faults } = await openPage(browser);
      await page.goto(address);
      const isShown = () =>
        page.waitForFunction(
          ([place, words]) => [...document.querySelectorAll(place!)].some((node) => node.textContent?.includes(words!)),
          [selector, text()],
        );
      await isShown();
      const times: number[] = [];
      for (let row = 0; row < 7; row++) {
        // At any moment of the server's and the page's intervals.
        await page.waitForTimeout(100 + 130 * row);
        appendFileSync(join(path, "metrics.jsonl"), metricsLine(++steps, random));
        appendFileSync(join(path, "rollouts.jsonl"), `${JSON.stringify(rolloutRow(completions++, random, {}))}\n`);
        const begun = performance.now();
        await isShown();
        times.push(performance.now() - begun);
      }
      console.log(`${what}: shown after ${times.map(Math.round).join(", ")} ms`);
      expect([...times].sort((a, b) => a - b)[3]).toBeLessThan(allowedMs(1000));
      expect(faults).toEqual([]);
      await page.context().close();
    }
    rmSync(path, { recursive: true });
  });
});

describe("completions that are hostile", () => {
  it("stay text: in the list, opened, and as tokens", async () => {
    const { page, faults } = await openPage(browser);
    for (const row of HOSTILE.keys()) {
      await page.goto(runAddress("hostile", `/rollouts?by=row&down=0&row=${row}`));
      await page.reload();
      await page.getByRole("heading", { name: "Rewards" }).waitFor();
      expect(await page.title()).toBe("hostile · Aha");
      expect(await page.locator("iframe, .text script, .text img").count()).toBe(0);
    }
    await page.goto(runAddress("hostile", "/rollouts?by=row&down=0&row=2"));
    await page.reload();
    await page.getByText("⟨U+202E⟩gnorw si txet siht").first().waitFor();
    await page.getByText("⟨U+0000⟩").first().waitFor();
    await picture(page, "hostile");
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

describe("runs side by side", () => {
  it("are chosen in the list, laid over each other, tested in pairs", async () => {
    const { page, faults } = await openPage(browser);
    await page.goto(addressOf(""));
    await page.getByLabel("Compare runs/one").check();
    await page.getByLabel("Compare runs/two").check();
    await picture(page, "overview");
    await page.getByRole("button", { name: "Compare 2 runs" }).click();
    await page.getByText("4 problems only it solves").waitFor();
    await page.getByText("stages.0.learningRate").waitFor();
    await expect.poll(() => drawnCharts(page), { timeout: 20_000 }).toBeGreaterThan(4);
    await picture(page, "compare");
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

describe("accessibility", () => {
  const places: readonly (readonly [string, string])[] = [
    ["the list", ""],
    ["curves", "run/runs%2Fone"],
    ["rollouts, one open", "run/runs%2Fone/rollouts?row=5"],
    ["held-out problems", "run/runs%2Fone/answers"],
    ["time", "run/runs%2Fone/time"],
    ["recipe", "run/runs%2Fone/recipe"],
    ["diary", "run/runs%2Fone/diary"],
    ["compare", "compare?ids=runs%252Fone%2Cruns%252Ftwo"],
    ["a run that is not there", "run/runs%2Fnothing"],
  ];
  for (const colorScheme of ["light", "dark"] as const) {
    it.each(places)(`finds nothing in ${colorScheme}: %s`, async (_, place) => {
      // The checker is a script from outside: the policy, which is tested elsewhere, would not let it in.
      const { page } = await openPage(browser, { colorScheme, bypassCSP: true });
      await page.goto(addressOf(place));
      await page.waitForTimeout(900);
      expect(await axeFindings(page)).toEqual([]);
      await page.context().close();
    });
  }

  it("reaches everything with the keyboard alone", async () => {
    const { page } = await openPage(browser);
    await page.goto(addressOf(""));
    await page.getByText("runs/one").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("runs/one");
    await expect.poll(() => page.locator(".runs tbody tr").count()).toBe(1);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "runs/one" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "Curves" }).waitFor();
    await page.keyboard.press("]");
    await expect.poll(() => page.url()).toContain("/rollouts");
    await page.locator(".grid-row").first().waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await expect.poll(() => page.getByRole("dialog").count()).toBe(0);
    await page.keyboard.press("g");
    await expect.poll(() => page.url()).toMatch(/#\/$/);
    await page.context().close();
  });

  it("fits a phone: nothing is wider than the screen", async () => {
    const { page } = await openPage(browser, { viewport: { width: 390, height: 844 } });
    for (const [name, place] of places) {
      await page.goto(addressOf(place));
      await page.waitForTimeout(700);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(`${name}: ${width}`).toBe(`${name}: 390`);
      if (name === "curves") await picture(page, "phone");
    }
    await page.context().close();
  });
});

describe("report.html", () => {
  it("has the dashboard's charts in a file, an answer that is seen, and nothing for the checker to find", async () => {
    const path = join(root, "reported");
    await writeMadeUpRun(path);
    const address = pathToFileURL(await writeReport(path)).href;
    const { page, faults } = await openPage(browser);
    await page.goto(address);
    await expect.poll(() => drawnCharts(page), { timeout: 20_000 }).toBeGreaterThan(5);
    await page.getByText("Where the time went").waitFor();
    const isWithin = await page
      .locator(".final-answer")
      .first()
      .evaluate((node) => {
        const [answer, article] = [node.getBoundingClientRect(), node.closest("article")!.getBoundingClientRect()];
        return answer.height > 0 && answer.bottom <= article.bottom + 1;
      });
    expect(isWithin).toBe(true);
    expect(faults).toEqual([]);
    await picture(page, "report");
    await page.context().close();

    const checked = await openPage(browser, { bypassCSP: true });
    await checked.page.goto(address);
    await checked.page.waitForTimeout(800);
    expect(await axeFindings(checked.page)).toEqual([]);
    await checked.page.context().close();

    const without = await openPage(browser, { javaScriptEnabled: false });
    await without.page.goto(address);
    expect(await without.page.locator("figure svg").count()).toBeGreaterThan(5);
    await without.page.context().close();
  });
});

describe("a run that goes on, is killed, and resumes", () => {
  const path = () => join(root, "runs/live");
  const recipe = join(import.meta.dirname, "../../recipes/countdown/smoke/recipe.yaml");
  const start = (...more: string[]): ChildProcess => {
    const args = [
      "run",
      recipe,
      "--out",
      path(),
      "--quiet",
      "--set",
      "stages.r1-zero.iterations=400",
      "--set",
      "stages.r1-zero.evaluateEvery=0",
      "--set",
      "rollouts={logprobs: true}",
    ];
    const child = spawn(process.execPath, [PROGRAM, ...args, "--set", "stages.cold-start.steps=20", ...more], {
      stdio: "ignore",
    });
    children.push(child);
    return child;
  };
  const iterations = (page: Page) =>
    page.evaluate(() => Number(/(\d+) of 400/.exec(document.querySelector(".facts")?.textContent ?? "")?.[1] ?? 0));

  it("is followed all the way, without loading the page again", async () => {
    const { page, faults } = await openPage(browser);
    await page.goto(addressOf(""));
    const first = start();
    await page.getByText("runs/live").waitFor({ timeout: 60_000 });
    await page.getByText("runs/live").click();
    await expect.poll(() => iterations(page), { timeout: 120_000 }).toBeGreaterThan(5);
    await page.locator(".headline .state.running").waitFor();
    await page.getByRole("status").getByText("live").waitFor();

    first.kill("SIGKILL");
    await page.locator(".headline .state.ended").waitFor({ timeout: 20_000 });
    const reached = await iterations(page);

    const second = start("--resume");
    await page.locator(".headline .state.running").waitFor({ timeout: 60_000 });
    await expect.poll(() => iterations(page), { timeout: 120_000 }).toBeGreaterThan(reached + 5);

    await page.getByRole("button", { name: "Stop …" }).click();
    await page.getByRole("button", { name: "Let it run" }).click();
    await page.getByRole("button", { name: "Stop …" }).click();
    await page.getByRole("button", { name: "Stop the run" }).click();
    await page.locator(".headline .state.interrupted").waitFor({ timeout: 60_000 });
    expect(
      await new Promise((resolve) =>
        second.exitCode === null ? second.once("exit", resolve) : resolve(second.exitCode),
      ),
    ).toBe(130);

    await page.goto(runAddress("live", "/rollouts?row=8"));
    for (const [colour, told] of [
      ["log-probability", /log-probability −?[\d.]+|log-probability -/],
      ["advantage", /advantage -?[\d.]+/],
      ["ratio", /ratio \d\.\d{4}/],
      ["entropy", /entropy [\d.]+ nats/],
    ] as const) {
      await page.getByRole("button", { name: colour, exact: true }).click();
      await page.getByText("Point at a token").waitFor();
      await page.locator(".token").first().hover();
      expect(await page.locator(".about-token").textContent()).toMatch(told);
      await page.mouse.move(0, 0);
    }
    expect(await page.locator(".token.plus4, .token.plus5").count()).toBeGreaterThan(0);
    await picture(page, "tokens");

    rmSync(path(), { recursive: true });
    await page.getByText("is gone").first().waitFor({ timeout: 20_000 });
    expect(existsSync(path())).toBe(false);
    expect(faults.filter((fault) => !fault.includes("410"))).toEqual([]);
    await page.context().close();
  });
});
