/** The pages on paper: light, whole, nothing over anything else. `AHA_SCREENSHOTS=DIR` keeps the PDFs to be looked at. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Dashboard } from "../../src/dashboard/server.ts";
import { writeReport } from "../../src/report/report.ts";
import { writeRun } from "../dashboard/written-run.ts";
import { writeMadeUpRun } from "../report/made-up-run.ts";
import { openBrowser, openPage } from "./chromium.ts";
import { type ServedTab, serveTab } from "./tab/served-tab.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

/** A4 at 96 pixels to the inch, less the margins of print.css. */
const PAPER = { width: 703, height: 1016 };
const MOST_PAGES = 20;

let root: string;
let browser: Browser;
let dashboard: Dashboard;
let tab: ServedTab;
const pictures = process.env.AHA_SCREENSHOTS;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-print-"));
  if (pictures) mkdirSync(pictures, { recursive: true });
  writeRun(join(root, "runs/one"), { steps: 400, rollouts: 800, isFinished: true, withTokens: true });
  writeRun(join(root, "runs/two"), { steps: 400, rollouts: 200, seed: 3, isFinished: true });
  browser = await openBrowser();
  dashboard = await Dashboard.listen({ roots: ["runs"], from: root, port: 0 });
  tab = await serveTab();
});

afterAll(async () => {
  await browser?.close();
  await dashboard?.close();
  tab?.close();
  rmSync(root, { recursive: true, force: true });
});

/** What a sheet would show of the page: faults, in words. */
interface OnPaper {
  readonly faults: readonly string[];
  readonly headings: readonly string[];
}

/** Looks at the page as a printer lays it out. It runs in the page. */
function lookAtPaper(width: number): OnPaper {
  const faults: string[] = [];
  const named = (node: Element) => `<${node.tagName.toLowerCase()} class="${node.getAttribute("class") ?? ""}">`;
  const isSeen = (node: Element) => {
    const box = node.getBoundingClientRect();
    return node.checkVisibility() && box.width > 1 && box.height > 1;
  };
  const numbersOf = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r = 0, g = 0, b = 0]: number[]) => (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  if (document.documentElement.scrollWidth > width) faults.push(`it is ${document.documentElement.scrollWidth} wide`);
  for (const node of document.querySelectorAll("body, body *")) {
    if (!isSeen(node)) continue;
    const { position, backgroundColor, color, overflowX, overflowY } = getComputedStyle(node);
    if (position === "fixed" || position === "sticky") faults.push(`${named(node)} is ${position}`);
    const back = numbersOf(backgroundColor);
    const isOpaque = back.length === 3 || (back[3] ?? 0) > 0.5;
    const hasText = [...node.childNodes].some(({ nodeType, nodeValue }) => nodeType === 3 && nodeValue!.trim() !== "");
    if (hasText && luminance(numbersOf(color)) > 0.6) faults.push(`${named(node)} has light words: ${color}`);
    if (hasText && isOpaque && luminance(back) < 0.5) faults.push(`${named(node)} has words on ${backgroundColor}`);
    const isCut = (of: string, inside: number, box: number) => (of === "auto" || of === "scroll") && inside > box + 1;
    if (
      isCut(overflowY, node.scrollHeight, node.clientHeight) ||
      isCut(overflowX, node.scrollWidth, node.clientWidth)
    ) {
      faults.push(`${named(node)} is cut off`);
    }
  }
  const headings = [...document.querySelectorAll("h1, h2, h3")].filter(isSeen);
  return { faults, headings: headings.map((node) => node.textContent!.trim()) };
}

/** The page as a printer gets it, while it is dark on the screen. */
async function printed(page: Page, name: string): Promise<OnPaper & { readonly pages: number }> {
  await page.evaluate(() => {
    addEventListener("beforeprint", () => {
      const { printing } = document.documentElement.dataset;
      // What charts are drawn in at this moment.
      (globalThis as Json).drawnIn = [printing, getComputedStyle(document.documentElement).getPropertyValue("--ink")];
    });
  });
  const pdf = await page.pdf({
    format: "A4",
    preferCSSPageSize: true,
    ...(pictures && { path: join(pictures, `${name}.pdf`) }),
  });
  expect(await page.evaluate(() => (globalThis as Json).drawnIn)).toEqual(["yes", "#1d1c1a"]);
  expect(await page.evaluate(() => document.documentElement.dataset.printing)).toBeUndefined();
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  await page.setViewportSize(PAPER);
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  await page.waitForTimeout(200);
  const onPaper = await page.evaluate(lookAtPaper, PAPER.width);
  // Where nothing of a chart is dark, it was drawn for the dark.
  const inks = await page.evaluate(() =>
    [...document.querySelectorAll("canvas")].map((canvas) => {
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      let darkest = 255;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3]! > 200) darkest = Math.min(darkest, (data[i]! + data[i + 1]! + data[i + 2]!) / 3);
      }
      return Math.round(darkest);
    }),
  );
  for (const ink of inks) expect(ink).toBeLessThan(130);
  return { ...onPaper, pages: pdf.toString("latin1").match(/\/Type \/Page\b/g)?.length ?? 0 };
}

const DARK = { colorScheme: "dark" } as const;

describe("on paper", () => {
  it.each([
    ["curves", "run/runs%2Fone", ["one", "Solve rate"]],
    ["rollouts", "run/runs%2Fone/rollouts?row=5", ["one", "Its group", "Rewards"]],
    ["held-out", "run/runs%2Fone/answers", ["one"]],
    ["time", "run/runs%2Fone/time", ["one"]],
    ["recipe", "run/runs%2Fone/recipe", ["one"]],
    ["compare", "compare?ids=runs%252Fone%2Cruns%252Ftwo", []],
    ["list", "", ["Runs"]],
  ] as const)("the dashboard is light and whole: %s", async (name, place, headings) => {
    const { page } = await openPage(browser, DARK);
    await page.addInitScript(() => localStorage.setItem("aha-theme", "dark"));
    await page.goto(new URL(`#/${place}`, dashboard.url).href);
    for (const heading of headings) await page.getByRole("heading", { name: heading }).first().waitFor();
    await page.waitForTimeout(900);
    const { faults, headings: found, pages } = await printed(page, `print-${name}`);
    expect(faults).toEqual([]);
    for (const heading of headings) expect(found.join("\n").toLowerCase()).toContain(heading.toLowerCase());
    expect(pages).toBeGreaterThan(0);
    expect(pages).toBeLessThan(MOST_PAGES);
    await page.context().close();
  });

  it("a report is light and whole, its recipe unfolded; without a script too", async () => {
    const path = join(root, "reported");
    await writeMadeUpRun(path);
    const address = pathToFileURL(await writeReport(path)).href;
    const { page } = await openPage(browser, DARK);
    await page.goto(address);
    await page.getByText("Where the time went").waitFor();
    const { faults, headings, pages } = await printed(page, "print-report");
    expect(faults).toEqual([]);
    const sections = ["Before and after", "The same problems, answered before and after", "cold-start", "r1-zero"];
    for (const section of [...sections, "Where the time went", "What came from what", "The recipe"]) {
      expect(headings).toContain(section);
    }
    expect(pages).toBeGreaterThan(1);
    expect(pages).toBeLessThan(MOST_PAGES);
    const recipe = page.locator("details pre").last();
    expect(await recipe.evaluate((node) => node.checkVisibility({ contentVisibilityAuto: true }))).toBe(true);
    await page.context().close();

    const without = await openPage(browser, { ...DARK, javaScriptEnabled: false });
    await without.page.goto(address);
    await without.page.emulateMedia({ media: "print", colorScheme: "dark" });
    const pdf = await without.page.pdf({
      format: "A4",
      ...(pictures && { path: join(pictures, "print-report-plain.pdf") }),
    });
    expect(pdf.length).toBeGreaterThan(10_000);
    await without.page.context().close();
  });

  it.each(["watch", "code"])("the page of a run in the tab is light and whole: %s", async (shown) => {
    const { page } = await openPage(browser, DARK);
    page.setDefaultTimeout(60_000);
    await page.addInitScript(() => localStorage.setItem("aha-theme", "dark"));
    await page.goto(tab.address());
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await page.getByRole("button", { name: "Go on", exact: true }).waitFor();
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.locator(".said b").getByText("✓ Right").waitFor();
    if (shown === "code") await page.getByRole("link", { name: "The code" }).click();
    await page.waitForTimeout(300);
    const { faults, headings, pages } = await printed(page, `print-tab-${shown}`);
    expect(faults).toEqual([]);
    const sections =
      shown === "code"
        ? ["The code that runs here"]
        : [
            "Solved",
            "Tries per answer",
            "Length",
            "One group, answer by answer",
            "Ask it yourself",
            "The model is yours",
          ];
    for (const section of ["A model learns to reason in this tab", ...sections]) expect(headings).toContain(section);
    expect(pages).toBeLessThan(MOST_PAGES);
    await page.context().close();
  });
});
