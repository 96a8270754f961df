/**
 * A headless Chromium for tests, whichever this machine has: that of `CHROMIUM_PATH`, Debian's `chromium`, Chrome, or npm's
 * @sparticuz/chromium where somebody has installed it. playwright-core drives it, and brings no browser of its own.
 */

import { existsSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where systems put it. */
const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** What to do where there is none. */
export const MISSING_CHROMIUM =
  "npm run test:browser needs Chromium, and there is none. On Debian and Ubuntu: apt-get install chromium. Elsewhere install " +
  "Chrome, or npm install --no-save @sparticuz/chromium (Node 22 or later), or name a browser: CHROMIUM_PATH=/path/to/chrome.";

/** A browser's program, and the arguments that it wants. */
export interface FoundChromium {
  readonly path: string;
  readonly args: readonly string[];
}

/** The first that is there; undefined where none is. */
export async function findChromium(): Promise<FoundChromium | undefined> {
  const named = process.env.CHROMIUM_PATH;
  if (named !== undefined && named !== "") return existsSync(named) ? { path: named, args: [] } : undefined;
  const found = PLACES.find((place) => existsSync(place));
  if (found !== undefined) return { path: found, args: [] };
  try {
    const name = "@sparticuz/chromium";
    const { default: packaged } = (await import(name)) as {
      default: { readonly args: readonly string[]; executablePath(): Promise<string> };
    };
    return { path: await packaged.executablePath(), args: packaged.args };
  } catch {
    return undefined;
  }
}

/** Starts it. Throws an Error that says what to install where there is none. */
export async function openBrowser(): Promise<Browser> {
  const found = await findChromium();
  if (found === undefined) throw new Error(MISSING_CHROMIUM);
  // In containers there is no user to make a sandbox for, and /dev/shm is small; what is loaded is our own.
  const args = [...found.args, "--no-sandbox", "--disable-dev-shm-usage"];
  return chromium.launch({ executablePath: found.path, args });
}

/** A page, and what went wrong on it: messages of its console that are errors, and exceptions that nobody caught. */
export interface WatchedPage {
  readonly page: Page;
  readonly faults: string[];
}

/** Opens a page in a context of its own (its own storage and colours). */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("console", (message) => {
    // What tests themselves do to canvases is not the page's fault.
    if (message.text().includes("willReadFrequently")) return;
    if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(error.stack ?? error.message));
  return { page, faults };
}

/**
 * Milliseconds from the beginning of loading the dashboard's page at `address` until it says what it is about and so many
 * charts are drawn, in a browser that has nothing of it yet.
 */
export async function loadingTime(browser: Browser, address: string, charts: number): Promise<number> {
  const { page } = await openPage(browser);
  try {
    await page.goto(address);
    const drawn = await page.waitForFunction((count) => {
      const isDrawn = (canvas: HTMLCanvasElement) => {
        // A line from left to right crosses the middle.
        const middle = canvas.getContext("2d")?.getImageData(canvas.width >> 1, 0, 1, canvas.height).data;
        return middle?.some((value) => value > 0) === true;
      };
      const hasWords = document.querySelector("h1") !== null && document.querySelector("main table, .tabs") !== null;
      const found = [...document.querySelectorAll("canvas")].filter(isDrawn).length;
      return hasWords && found >= count && performance.now();
    }, charts);
    return Number(await drawn.jsonValue());
  } finally {
    await page.context().close();
  }
}
