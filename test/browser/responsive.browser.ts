/** The page of R1 in a tab answers while it trains: nothing that its own thread does takes 50 ms. */

import type { Server } from "node:http";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeWeb } from "../../release/build-web.ts";
import { serveWeb } from "../../release/serve-web.ts";
import { openBrowser, openPage } from "./chromium.ts";
import { type Latency, measuredLatency, quantile } from "./tab/latency.ts";
import { type ServedTab, serveTab } from "./tab/served-tab.ts";

/** What a person takes for at once, and what browsers call a long task, ms. */
const LONG_MS = 50;
const LONG = 1_800_000;

let browser: Browser;
let scripted: ServedTab;
let real: { readonly url: string; readonly server: Server };

beforeAll(async () => {
  await writeWeb();
  real = await serveWeb(0);
  scripted = await serveTab();
  browser = await openBrowser();
}, LONG);

afterAll(async () => {
  await browser?.close();
  scripted?.close();
  real?.server.close();
});

const iterationOf = async (page: Page) =>
  Number(/iteration (\d+) of/.exec(await page.locator(".how-far").innerText())?.[1] ?? 0);

async function started(address: string): Promise<Page> {
  const { page } = await openPage(browser);
  page.setDefaultTimeout(600_000);
  await page.goto(address);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await page.locator(".rows button").first().waitFor();
  return page;
}

function requireShort(what: string, latency: Latency): void {
  const { answers, longTasks, longestTaskCpu } = latency;
  const by = (share: number) => `${quantile(latency, share)} ms`;
  console.log(
    `${what}: the longest task took ${longestTaskCpu.toFixed(1)} ms of CPU; ${longTasks.length} tasks of more than ` +
      `${LONG_MS} ms by the clock; ${answers.length} answers of 16 ms and more, median ${by(0.5)}, 95 % ${by(0.95)}, most ${by(1)}`,
  );
  // By the CPU's clock: what else this machine does is not the page's.
  expect(longestTaskCpu).toBeLessThan(LONG_MS);
}

describe("the page while it trains", () => {
  it(
    "computes on WebAssembly: clicks, keys and pointers are answered in short tasks",
    async () => {
      const page = await started(`${real.url}?set=evaluation.problems=2`);
      const latency = await measuredLatency(
        browser,
        page,
        async (round) => round >= 4 && (await iterationOf(page)) >= 3,
      );
      await page.context().close();
      requireShort("three iterations on WebAssembly", latency);
    },
    LONG,
  );

  it(
    "has a whole run in its curves: a hundred iterations as fast as they can come",
    async () => {
      const page = await started(scripted.address("fast"));
      const latency = await measuredLatency(browser, page, async (round) => round >= 6);
      await page.context().close();
      requireShort("a run of 110 iterations, scripted", latency);
    },
    LONG,
  );
});
