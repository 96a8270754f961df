/** Pages of R1 in a browser tab, each beside a scripted worker, and what tests do on all of them. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";
import { openBrowser, openPage, type WatchedPage } from "../chromium.ts";
import { type ServedTab, serveTab } from "./served-tab.ts";

/** Where pictures of pages go, for people to look at; only where asked for. */
const pictures = process.env.AHA_SCREENSHOTS;
/** On a machine that does other things, too, ms. */
export const PATIENCE = 60_000;

/** A browser, and a server of the page. */
export class TabPages {
  private readonly browser: Browser;
  private readonly served: ServedTab;

  private constructor(browser: Browser, served: ServedTab) {
    this.browser = browser;
    this.served = served;
  }

  static async open(): Promise<TabPages> {
    if (pictures) mkdirSync(pictures, { recursive: true });
    return new TabPages(await openBrowser(), await serveTab());
  }

  /** Of the page with this fault. */
  address(fault?: string): string {
    return this.served.address(fault);
  }

  /** A blank page in a context of its own. */
  async page(options: BrowserContextOptions = {}): Promise<WatchedPage> {
    const watched = await openPage(this.browser, options);
    watched.page.setDefaultTimeout(PATIENCE);
    return watched;
  }

  /** The page, as soon as it can be started. */
  async opened(fault?: string, options: BrowserContextOptions = {}): Promise<WatchedPage> {
    const watched = await this.page(options);
    await watched.page.goto(this.address(fault));
    await expect.poll(() => button(watched.page, "Start").isEnabled(), { timeout: PATIENCE }).toBe(true);
    return watched;
  }

  async close(): Promise<void> {
    await this.browser.close();
    this.served.close();
  }
}

/** Keeps a picture where `AHA_SCREENSHOTS` says. */
export async function picture(page: Page, name: string): Promise<void> {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`) });
}

export const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });

/** Starts, and waits for the pause after 12 iterations that is in the script. */
export async function trained(page: Page): Promise<void> {
  await button(page, "Start").click();
  await button(page, "Go on").waitFor();
  expect(await iterationOf(page)).toBe(12);
}

export async function iterationOf(page: Page): Promise<number> {
  return Number(/iteration (\d+) of/.exec(await page.locator(".how-far").innerText())?.[1] ?? 0);
}
