/** Who can use the page of R1 in a browser tab: in any state by those who hear it, by keyboard, on a phone, with less motion. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axeFindings } from "./axe.ts";
import { button, iterationOf, PATIENCE, picture, TabPages, trained } from "./tab/tab-pages.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

let tab: TabPages;
beforeAll(async () => {
  tab = await TabPages.open();
});
afterAll(() => tab?.close());

const PHONE = { viewport: { width: 390, height: 844 } };

describe("everybody", () => {
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", PHONE],
  ] as const) {
    it(`finds nothing for the accessibility checker, and nothing wider than the window: ${name}`, async () => {
      // The checker is a script from outside, which the page's policy would not let in.
      const { page } = await tab.opened("fine", { ...options, bypassCSP: true });
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

  const states: readonly (readonly [string, string, (page: Page) => Promise<unknown>])[] = [
    [
      "while it loads",
      "loading",
      (page) =>
        page
          .getByText(/Loading 12/)
          .first()
          .waitFor(),
    ],
    [
      "while it trains",
      "endless",
      (page) =>
        button(page, "Start")
          .click()
          .then(() => page.locator(".rows").waitFor()),
    ],
    [
      "in a cold start",
      "learning",
      async (page) => {
        await page.getByLabel("from").selectOption("random");
        await button(page, "Start").click();
        await page.getByText("cold start, step 200").waitFor();
      },
    ],
    [
      "after a crash",
      "crash",
      (page) =>
        button(page, "Start")
          .click()
          .then(() => page.getByRole("alert").waitFor()),
    ],
    [
      "where storage is full",
      "full",
      (page) =>
        button(page, "Start")
          .click()
          .then(() => page.getByRole("alert").waitFor()),
    ],
    ["where little is to be had", "plain", async () => {}],
    [
      "where it asks",
      "fine",
      async (page) => {
        await trained(page);
        await button(page, "Start over").click();
        await page.getByRole("heading", { name: "Start over?" }).waitFor();
      },
    ],
    [
      "with numbers that are none",
      "fine",
      async (page) => {
        await page.getByLabel("numbers").fill("six");
        await button(page, "Ask").click();
        await page.getByRole("alert").waitFor();
      },
    ],
    [
      "with everything unfolded and held",
      "fine",
      async (page) => {
        await trained(page);
        await page.locator(".rows button").nth(2).click();
        await page.getByRole("slider").first().focus();
        await page.keyboard.press("Home");
        for (const summary of await page.locator("summary").all()) await summary.click();
        await page.locator("[data-token='1']").focus();
      },
    ],
    [
      "with a checkpoint opened",
      "fine",
      async (page) => {
        const file = { name: "mine.zip", mimeType: "application/zip", buffer: Buffer.from("x") };
        await page.getByLabel("Files of a checkpoint").setInputFiles(file);
        await page.getByText("Opened mine.zip").waitFor();
      },
    ],
    [
      "when the run is finished",
      "fast",
      (page) =>
        button(page, "Start")
          .click()
          .then(() => page.getByText("Finished.").first().waitFor()),
    ],
  ];
  it.each(states)("finds nothing for the accessibility checker %s, in light and in dark", async (_, fault, prepare) => {
    const { page } = await tab.page({ bypassCSP: true });
    page.setDefaultTimeout(PATIENCE);
    await page.goto(tab.address(fault));
    if (fault !== "loading")
      await expect.poll(() => button(page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
    await prepare(page);
    const findings: Record<string, string[]> = {};
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(250);
      findings[colorScheme] = await axeFindings(page);
    }
    expect(findings).toEqual({ light: [], dark: [] });
    await page.context().close();
  });

  it("tells readers of the screen seldom: one region speaks, and not of every iteration or token", async () => {
    const { page } = await tab.opened("endless");
    await page.evaluate(() => {
      const told: string[] = [];
      (globalThis as Json).told = told;
      const speaks = "[role=status], [role=alert], [role=log], output, [aria-live]:not([aria-live=off])";
      new MutationObserver((changes) => {
        for (const { target } of changes) {
          const element = target instanceof Element ? target : target.parentElement;
          const region = element?.closest(speaks);
          if (region && region.getAttribute("aria-live") !== "off") told.push(region.textContent ?? "");
        }
      }).observe(document.body, { childList: true, characterData: true, subtree: true });
    });
    await button(page, "Start").click();
    await button(page, "Ask").click();
    await page.locator(".said b").waitFor();
    await expect.poll(() => iterationOf(page), { timeout: PATIENCE }).toBeGreaterThan(3);
    await page.getByRole("slider").first().focus();
    await page.keyboard.press("ArrowLeft");
    await button(page, "Pause").click();
    await button(page, "Go on").waitFor();
    const told: string[] = await page.evaluate(() => (globalThis as Json).told);
    expect(told.length).toBeLessThan(8);
    expect(told.join("\n")).toMatch(/Training\.[\s\S]*Its answer is right\.[\s\S]*Paused\./);
    await page.context().close();
  });

  it("reaches what there is with the keyboard alone", async () => {
    const { page } = await tab.opened();
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
    const { page } = await tab.opened("fine", { reducedMotion: "reduce" });
    expect(
      await page
        .locator(".loop li")
        .first()
        .evaluate((node) => getComputedStyle(node).transitionDuration),
    ).toBe("0s");
    await page.context().close();
  });
});
