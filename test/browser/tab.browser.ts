/** The page of R1 in a browser tab, beside a scripted worker: what it shows, what it says when something fails, who can use it. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axeFindings } from "./axe.ts";
import { openBrowser, openPage } from "./chromium.ts";
import { type ServedTab, serveTab } from "./tab/served-tab.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

let browser: Browser;
let tab: ServedTab;
/** Where pictures of pages go, for people to look at; only where asked for. */
const pictures = process.env.AHA_SCREENSHOTS;

beforeAll(async () => {
  if (pictures) mkdirSync(pictures, { recursive: true });
  tab = await serveTab();
  browser = await openBrowser();
});

afterAll(async () => {
  await browser?.close();
  tab?.close();
});

async function picture(page: Page, name: string): Promise<void> {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
/** On a machine that does other things, too, ms. */
const PATIENCE = 60_000;
const PHONE = { viewport: { width: 390, height: 844 } };

/** Opens the page and waits until it can be started. */
async function opened(fault?: string, options: BrowserContextOptions = {}) {
  const watched = await openPage(browser, options);
  watched.page.setDefaultTimeout(PATIENCE);
  await watched.page.goto(tab.address(fault));
  await expect.poll(() => button(watched.page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
  return watched;
}

/** Starts, and waits for the pause after 12 iterations that is in the script. */
async function trained(page: Page): Promise<void> {
  await button(page, "Start").click();
  await button(page, "Go on").waitFor();
  expect(await iterationOf(page)).toBe(12);
}

async function iterationOf(page: Page): Promise<number> {
  return Number(/iteration (\d+) of/.exec(await page.locator(".how-far").innerText())?.[1] ?? 0);
}

describe("a run in the tab", () => {
  it("starts, steps, pauses, goes on, and nothing on the page moves while it trains", async () => {
    const { page, faults } = await opened("endless");
    await button(page, "Step").click();
    await button(page, "Go on").waitFor();
    expect(await iterationOf(page)).toBe(1);
    await page.evaluate(() => {
      (globalThis as Json).shifts = [];
      new PerformanceObserver((list) => {
        for (const { value, sources } of list.getEntries() as Json[]) {
          (globalThis as Json).shifts.push([value, ...sources.map(({ node }: Json) => node?.outerHTML?.slice(0, 80))]);
        }
      }).observe({ type: "layout-shift", buffered: false });
    });
    await button(page, "Go on").click();
    await expect.poll(() => iterationOf(page), { timeout: PATIENCE }).toBeGreaterThan(4);
    const shifts: [number, ...string[]][] = await page.evaluate(() => (globalThis as Json).shifts);
    expect(shifts.filter(([share]) => share > 1e-4)).toEqual([]);
    await button(page, "Pause").click();
    await button(page, "Go on").waitFor();
    const paused = await iterationOf(page);
    await page.waitForTimeout(300);
    expect(await iterationOf(page)).toBe(paused);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("shows a group: each answer right or wrong in words, and why a token moved, by pointer and by keyboard", async () => {
    const { page, faults } = await opened();
    await trained(page);
    const rows = page.locator(".rows button");
    expect(await rows.count()).toBe(16);
    expect(await rows.allInnerTexts()).toEqual(Array(16).fill(expect.stringMatching(/✓ right|✗ wrong/)));
    await page.locator("[data-token='2']").hover();
    await page.getByText(/became (more|less) likely/).waitFor();
    await page.getByText(/pushed every token of the answer up/).waitFor();
    await rows.nth(3).click();
    await button(page, "Let go, show the newest").waitFor();
    await page.locator(".token-lines [tabindex='0']").focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.token)).toBe("2");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Home");
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.token)).toBe("0");
    const held = await page.locator(".which .number").innerText();
    await button(page, "Step").click();
    await expect.poll(async () => page.locator(".which .number").innerText()).toBe(held);
    await button(page, "Let go, show the newest").click();
    await expect.poll(async () => page.locator(".which .number").innerText()).not.toBe(held);
    const which = page.locator(".which select");
    await which.selectOption("6");
    await expect.poll(() => which.inputValue()).toBe("6");
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("answers what somebody types, streaming, and says what cannot be asked", async () => {
    const { page, faults } = await opened();
    await button(page, "Ask").click();
    await page.locator(".its-answer").getByText("(6*6)+5=36+5=41").first().waitFor();
    await page.locator(".said b").getByText("✓ Right").waitFor();
    await page.getByLabel("target").fill("18");
    await button(page, "Ask").click();
    await page.locator(".said b").getByText("✗ Wrong").waitFor();
    await page.getByText(/No equation does|One that does/).waitFor();
    await page.getByLabel("numbers").fill("six, 6, 5");
    await button(page, "Ask").click();
    await page.getByRole("alert").getByText("“six” is not a whole number from 1 to 99").waitFor();
    expect(await page.getByLabel("numbers").getAttribute("aria-invalid")).toBe("true");
    await page.getByLabel("numbers").fill("1, 1, 1");
    await page.getByText("No equation reaches this target").waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("takes changes of the sliders, at their ends too, and gives the command that does the same", async () => {
    const { page, faults } = await opened();
    await trained(page);
    for (const slider of await page.getByRole("slider").all()) {
      await slider.focus();
      await page.keyboard.press("End");
      await page.keyboard.press("Home");
    }
    await page.getByText("Nothing pays now, so nothing can be learned.").waitFor();
    await page.getByText("Changed during this run").click();
    await page.getByText(/after iteration \d+: group size 2, learning rate/).waitFor();
    await page.getByText("The same in a terminal").click();
    await page.getByText(/--set stages\.r1-zero\.groupSize=2 --set stages\.r1-zero\.learningRate=0\.00001/).waitFor();
    await button(page, "As in the recipe").click();
    await page.getByText(/recipe\.yaml$/).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("shows the very file of the loop, with the lines that are computed", async () => {
    const { page, faults } = await opened("endless");
    await button(page, "Start").click();
    await page.getByRole("link", { name: "The code" }).click();
    await page.locator(".source .line.now").first().waitFor();
    const shown = await page.locator(".source .line").evaluateAll((lines) =>
      lines
        .map((line) =>
          [...line.childNodes]
            .slice(1)
            .map((node) => node.textContent)
            .join(""),
        )
        .join(""),
    );
    expect(shown).toBe(readFileSync(new URL("../../src/train/grpo/grpo.ts", import.meta.url), "utf8"));
    await picture(page, "code");
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("is not thrown away by one click, and downloads", async () => {
    const { page } = await opened();
    await trained(page);
    const download = page.waitForEvent("download");
    await button(page, "Download").click();
    expect((await download).suggestedFilename()).toBe("aha-countdown.zip");
    await button(page, "Start over").click();
    await page.getByRole("heading", { name: "Start over?" }).waitFor();
    await button(page, "Keep it").click();
    expect(await iterationOf(page)).toBeGreaterThan(1);
    await page.context().close();
  });
});

describe("what goes wrong", () => {
  const trouble = (page: Page) => page.getByRole("alert").first().innerText();

  it.each([
    [
      "crash",
      /The worker has stopped\. It ended with: .*memory access out of bounds.*kept in this browser/,
      "Go on from the last save",
    ],
    ["device", /The GPU was lost\./, "Go on from the last save"],
    ["full", /could not be saved in this browser\..*Training goes on/, "Forget what is kept"],
  ] as const)("in a run has a message and a way on: %s", async (fault, message, way) => {
    const { page } = await opened(fault);
    await button(page, "Start").click();
    await expect.poll(() => page.getByRole("alert").count(), { timeout: PATIENCE }).toBe(1);
    expect(await trouble(page)).toMatch(message);
    await button(page, way).click();
    await expect.poll(() => page.getByRole("alert").count()).toBe(0);
    if (fault !== "full") await expect.poll(() => button(page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
    await page.context().close();
  });

  it.each([
    ["load", /could not be loaded\. ort\.wasm did not come/],
    ["lost", /could not be loaded\. The file worker\.js did not come/],
  ] as const)("while it loads is told: %s", async (fault, message) => {
    const { page } = await openPage(browser);
    await page.goto(tab.address(fault));
    await expect.poll(() => page.getByRole("alert").count(), { timeout: PATIENCE }).toBe(1);
    expect(await trouble(page)).toMatch(message);
    await button(page, "Load again").waitFor();
    await page.context().close();
  });

  it("is told by a browser without WebAssembly", async () => {
    const { page } = await openPage(browser);
    await page.addInitScript(() => {
      Reflect.deleteProperty(globalThis, "WebAssembly");
    });
    await page.goto(tab.address());
    await expect.poll(() => trouble(page)).toMatch(/This browser has no WebAssembly/);
    await page.context().close();
  });

  it("is said of a page that is not isolated and keeps nothing", async () => {
    const { page } = await opened("plain");
    await page.getByText("WASM, 1 thread").waitFor();
    await page.getByText(/does not send the headers that threads need/).waitFor();
    await page.getByText(/closing the tab loses the run/).waitFor();
    await page.context().close();
  });

  it("is told of a checkpoint that is foreign or damaged, and a good one can be started from", async () => {
    const { page } = await opened();
    const drop = (name: string) =>
      page
        .getByLabel("Files of a checkpoint")
        .setInputFiles({ name, mimeType: "application/zip", buffer: Buffer.from("x") });
    await drop("foreign.zip");
    await expect.poll(() => trouble(page)).toMatch(/checkpoint of another model\..*494\.03M parameters/);
    await button(page, "Put away").click();
    await drop("damaged.zip");
    await expect.poll(() => trouble(page)).toMatch(/checkpoint is damaged\. damaged\.zip ends after 1,000/);
    await drop("mine.zip");
    await page.getByText("Opened mine.zip").waitFor();
    expect(await page.getByLabel("from").inputValue()).toBe("dropped");
    await page.context().close();
  });

  it("is said when the tab has slept for an hour", async () => {
    const { page } = await openPage(browser);
    await page.clock.install();
    await page.goto(tab.address());
    await page.clock.runFor(10_000);
    await expect.poll(() => button(page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
    await page.clock.fastForward("01:00:00");
    await page.clock.runFor(6_000);
    await page.getByText(/This tab was asleep\. For 60 minutes the browser let it rest\. Nothing is lost/).waitFor();
    await page.context().close();
  });

  it("is nothing where the model writes markup", async () => {
    const { page, faults } = await opened("hostile");
    await button(page, "Ask").click();
    await page.locator(".its-answer").getByText("⟨U+202E⟩evil").waitFor();
    expect(await page.locator(".its-answer img").count()).toBe(0);
    expect(await page.title()).toBe("A model learns to reason in this tab · Aha");
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

describe("everybody", () => {
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", PHONE],
  ] as const) {
    it(`finds nothing for the accessibility checker, and nothing wider than the window: ${name}`, async () => {
      // The checker is a script from outside, which the page's policy would not let in.
      const { page } = await opened("fine", { ...options, bypassCSP: true });
      const findings: Record<string, string[]> = { ready: await axeFindings(page) };
      await trained(page);
      await button(page, "Ask").click();
      await page.locator("[data-token='3']").hover();
      await page.locator(".said b").getByText("✓ Right").waitFor();
      await page.waitForTimeout(300);
      await page.evaluate(() => scrollTo(0, 0));
      await picture(page, name);
      findings.trained = await axeFindings(page);
      const widths = [await page.evaluate(() => document.documentElement.scrollWidth)];
      await page.locator("#group-title").scrollIntoViewIfNeeded();
      if (name === "phone") {
        await page
          .locator("#group-title")
          .evaluate((node) => scrollTo(0, node.getBoundingClientRect().top + scrollY - 130));
        await picture(page, "phone-group");
      }
      await page.getByRole("link", { name: "The code" }).click();
      await page.locator(".source").waitFor();
      findings.code = await axeFindings(page);
      widths.push(await page.evaluate(() => document.documentElement.scrollWidth));
      expect(findings).toEqual({ ready: [], trained: [], code: [] });
      expect(widths).toEqual(name === "phone" ? [390, 390] : [1280, 1280]);
      await page.context().close();
    });
  }

  it("reaches what there is with the keyboard alone", async () => {
    const { page } = await opened();
    await button(page, "Step").focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => iterationOf(page), { timeout: PATIENCE }).toBe(1);
    await button(page, "To the content").focus();
    const reached = new Set<string>();
    for (let i = 0; i < 50; i++) {
      await page.keyboard.press("Tab");
      reached.add(
        await page.evaluate(() => {
          const { activeElement: now } = document;
          return now?.getAttribute("aria-label") ?? (now as HTMLElement | null)?.innerText?.split("\n")[0] ?? "";
        }),
      );
    }
    const expected = ["The code", "Go on", "Step", "Start over", "Ask", "Another", "Download", "Open a checkpoint"];
    expect(expected.filter((name) => !reached.has(name))).toEqual([]);
    await page.context().close();
  });

  it("may ask for less motion", async () => {
    const { page } = await opened("fine", { reducedMotion: "reduce" });
    expect(
      await page
        .locator(".loop li")
        .first()
        .evaluate((node) => getComputedStyle(node).transitionDuration),
    ).toBe("0s");
    await page.context().close();
  });
});
