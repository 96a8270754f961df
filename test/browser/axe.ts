/** The accessibility checker on a page. It is a script from outside: a page with a strict policy needs `bypassCSP`. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What the accessibility checker finds, each with the elements. */
export async function axeFindings(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => (globalThis as Json).axe.run());
  return violations.map(
    ({ id, nodes }: Json) =>
      `${id}: ${nodes
        .slice(0, 3)
        .map(({ html }: Json) => html.slice(0, 160))
        .join(" | ")}`,
  );
}
