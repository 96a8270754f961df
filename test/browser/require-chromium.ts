/** Says what is missing, once, before any test is run. */

import { findChromium, MISSING_CHROMIUM } from "./chromium.ts";

export default async function setup(): Promise<void> {
  const found = await findChromium();
  if (found === undefined) throw new Error(MISSING_CHROMIUM);
  console.log(`Chromium: ${found.path}`);
}
