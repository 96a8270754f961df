/** How soon the page of R1 in a tab answers somebody who uses it while it trains. */

import type { Browser, Page } from "playwright-core";

// biome-ignore lint/suspicious/noExplicitAny: what the browser's trace has is looked into.
type Json = any;

/** What was measured while the page was used. */
export interface Latency {
  /** From each deed (a click, a key, a pointer that enters) to the next picture, ms; browsers round to 8. */
  readonly answers: readonly { readonly kind: string; readonly milliseconds: number }[];
  /** Tasks of the page's thread of more than 50 ms by the clock. */
  readonly longTasks: readonly number[];
  /** CPU time of the longest task of the page's thread, ms: on a busy machine what it is on an idle one. */
  readonly longestTaskCpu: number;
}

const DEEDS = ["pointerdown", "pointerup", "click", "keydown", "keyup", "pointerover", "pointerenter", "input"];

/** Uses the page until `isDone`, which is asked after each round, says so. The page trains, and has shown a group. */
export async function measuredLatency(
  browser: Browser,
  page: Page,
  isDone: (round: number) => Promise<boolean>,
): Promise<Latency> {
  await page.evaluate((kinds) => {
    const found = { answers: [] as Json[], longTasks: [] as number[] };
    (globalThis as Json).latency = found;
    new PerformanceObserver((list) => {
      for (const { name, duration } of list.getEntries()) {
        if (kinds.includes(name)) found.answers.push({ kind: name, milliseconds: duration });
      }
    }).observe({ type: "event", durationThreshold: 16 } as PerformanceObserverInit);
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) found.longTasks.push(duration);
    }).observe({ type: "longtask" });
  }, DEEDS);
  await browser.startTracing(page, { categories: ["disabled-by-default-devtools.timeline", "devtools.timeline"] });
  for (let round = 0; ; round++) {
    await useOnce(page, round);
    if (await isDone(round)) break;
  }
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString("utf8")) as {
    readonly traceEvents: Json[];
  };
  const { answers, longTasks } = (await page.evaluate(() => (globalThis as Json).latency)) as Omit<
    Latency,
    "longestTaskCpu"
  >;
  return { answers, longTasks, longestTaskCpu: longestTaskCpu(traceEvents) };
}

/** What somebody does: looks at an answer, at tokens, types, looks at the code and comes back. */
async function useOnce(page: Page, round: number): Promise<void> {
  const rows = page.locator(".rows button");
  await rows.nth(round % (await rows.count())).click();
  const tokens = page.locator("[data-token]");
  const count = await tokens.count();
  for (let i = 0; i < 4; i++)
    await tokens
      .nth((round * 7 + i * 3) % count)
      .hover({ timeout: 10_000 })
      .catch(() => {});
  await page.locator(".token-lines [tabindex='0']").focus();
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "Home"]) await page.keyboard.press(key);
  await page.getByRole("button", { name: "Let go, show the newest" }).click();
  const target = page.getByLabel("target");
  await target.focus();
  for (const key of ["1", "8", "Backspace"]) await page.keyboard.press(key);
  await page.getByRole("link", { name: "The code" }).click();
  await page.locator(".source").waitFor();
  await page.getByRole("link", { name: "Watch it learn" }).click();
  await rows.first().waitFor();
}

/** Of the threads that draw pages; there is one page. */
function longestTaskCpu(events: readonly Json[]): number {
  const names = events.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain");
  const threads = new Set(names.map(({ pid, tid }) => `${pid}/${tid}`));
  const tasks = events.filter(({ name, pid, tid }) => name.endsWith("RunTask") && threads.has(`${pid}/${tid}`));
  const times = tasks.map(({ tdur }) => tdur).filter((time) => typeof time === "number");
  if (times.length === 0) throw new Error(`The trace of ${events.length} events has no task with its CPU time.`);
  return times.reduce((most, time) => Math.max(most, time), 0) / 1000;
}

/** A share of the answers is at least as fast as this, ms. `kinds`: all that were noted. */
export function quantile({ answers }: Latency, share: number): number {
  const sorted = answers.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
