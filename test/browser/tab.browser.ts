/** The page of R1 in a browser tab, beside a scripted worker: what it shows, and what it says when something fails. */

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { button, iterationOf, PATIENCE, picture, TabPages, trained } from "./tab/tab-pages.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

let tab: TabPages;
beforeAll(async () => {
  tab = await TabPages.open();
});
afterAll(() => tab?.close());

describe("a run in the tab", () => {
  it("starts, steps, pauses, goes on, and nothing on the page moves while it trains", async () => {
    const { page, faults } = await tab.opened("endless");
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
    const { page, faults } = await tab.opened();
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
    const { page, faults } = await tab.opened();
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
    const { page, faults } = await tab.opened();
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

  it("shows a cold start while it lasts: its loss, and its own answers as they take form", async () => {
    const { page, faults } = await tab.opened("learning");
    await page.getByLabel("from").selectOption("random");
    await button(page, "Start").click();
    await page.getByText(/step 220 of 400/).waitFor();
    const charts = page.locator(".charts");
    for (const title of ["Loss", "Tokens right", "Its own answers"]) {
      await charts.getByRole("heading", { name: title, exact: true }).waitFor();
    }
    expect(await charts.getByRole("img").first().getAttribute("aria-label")).toMatch(/Loss by step\..* at 220/);
    await page.getByText("cold start, step 200").waitFor();
    await page.getByText(/nothing is rewarded or compared yet/).waitFor();
    expect(await page.locator(".rows button").allInnerTexts()).toEqual(
      Array(16).fill(expect.stringMatching(/right|wrong/)),
    );
    expect(await page.locator(".rows .advantage-bar").count()).toBe(0);
    await page.locator("[data-token='0']").hover();
    await page.getByText(/was drawn with a probability of/).waitFor();
    await picture(page, "cold-start");
    await button(page, "R1-Zero").click();
    await charts.getByRole("heading", { name: "Solved" }).waitFor();
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("goes over from the cold start into R1-Zero, with its curves", async () => {
    const { page } = await tab.opened();
    await page.getByLabel("from").selectOption("random");
    await trained(page);
    await page.locator(".charts").getByRole("heading", { name: "Solved" }).waitFor();
    await page.getByText("iteration 12", { exact: true }).waitFor();
    await button(page, "Cold start").click();
    await page.locator(".charts").getByRole("heading", { name: "Loss" }).waitFor();
    await page.context().close();
  });

  it("shows the very file of the loop, with the lines that are computed", async () => {
    const { page, faults } = await tab.opened("endless");
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
    const { page } = await tab.opened();
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
    const { page } = await tab.opened(fault);
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
    const { page } = await tab.page();
    await page.goto(tab.address(fault));
    await expect.poll(() => page.getByRole("alert").count(), { timeout: PATIENCE }).toBe(1);
    expect(await trouble(page)).toMatch(message);
    await button(page, "Load again").waitFor();
    await page.context().close();
  });

  it("is told by a browser without WebAssembly", async () => {
    const { page } = await tab.page();
    await page.addInitScript(() => {
      Reflect.deleteProperty(globalThis, "WebAssembly");
    });
    await page.goto(tab.address());
    await expect.poll(() => trouble(page)).toMatch(/This browser has no WebAssembly/);
    await page.context().close();
  });

  it("is said of a page that is not isolated and keeps nothing", async () => {
    const { page } = await tab.opened("plain");
    await page.getByText("WASM, 1 thread").waitFor();
    await page.getByText(/does not send the headers that threads need/).waitFor();
    await page.getByText(/closing the tab loses the run/).waitFor();
    await page.context().close();
  });

  it("is told of a checkpoint that is foreign or damaged, and a good one can be started from", async () => {
    const { page } = await tab.opened();
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
    const { page } = await tab.page();
    await page.clock.install();
    await page.goto(tab.address());
    await page.clock.runFor(10_000);
    await expect.poll(() => button(page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
    await page.clock.fastForward("01:00:00");
    await page.clock.runFor(6_000);
    await page.getByText(/This tab was asleep\. For 60 minutes the browser let it rest\. Nothing is lost/).waitFor();
    await page.context().close();
  });

  it("is said as soon as the browser wakes a tab that it had frozen for an hour, and training goes on", async () => {
    const { page } = await tab.page();
    await page.addInitScript(() => {
      const { now } = Date;
      (globalThis as Json).asleepMs = 0;
      Date.now = () => now() + (globalThis as Json).asleepMs;
    });
    await page.goto(tab.address("endless"));
    await button(page, "Start").click({ timeout: PATIENCE });
    await expect.poll(() => iterationOf(page), { timeout: PATIENCE }).toBeGreaterThan(0);
    const session = await page.context().newCDPSession(page);
    await session.send("Page.setWebLifecycleState", { state: "frozen" });
    await page.evaluate(() => {
      (globalThis as Json).asleepMs = 3_600_000;
    });
    await session.send("Page.setWebLifecycleState", { state: "active" });
    await page
      .getByText(/This tab was asleep\. For 60 minutes .* Training goes on where it is: iteration \d+ of 110/)
      .waitFor({ timeout: PATIENCE });
    const reached = await iterationOf(page);
    await expect.poll(() => iterationOf(page), { timeout: PATIENCE }).toBeGreaterThan(reached);
    await page.context().close();
  });

  it("is told of what is dropped on the page, wherever that is", async () => {
    const { page, faults } = await tab.opened();
    const dropped = async (name: string) => {
      const dataTransfer = await page.evaluateHandle((called) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["x"], called));
        return transfer;
      }, name);
      await page.locator("h1").dispatchEvent("dragover", { dataTransfer });
      await page.getByText("Drop the checkpoint").waitFor();
      await page.locator("h1").dispatchEvent("drop", { dataTransfer });
    };
    await dropped("damaged.zip");
    await expect.poll(() => trouble(page)).toMatch(/checkpoint is damaged\. damaged\.zip ends after 1,000/);
    await dropped("mine.zip");
    await page.getByText("Opened mine.zip").waitFor();
    expect(await page.getByText("Drop the checkpoint").count()).toBe(0);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("is nothing where the model writes markup", async () => {
    const { page, faults } = await tab.opened("hostile");
    await button(page, "Ask").click();
    await page.locator(".its-answer").getByText("⟨U+202E⟩evil").waitFor();
    expect(await page.locator(".its-answer img").count()).toBe(0);
    expect(await page.title()).toBe("A model learns to reason in this tab · Aha");
    expect(faults).toEqual([]);
    await page.context().close();
  });
});
