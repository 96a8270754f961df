/** Keys that several trackers have. */

import { z } from "zod";

/** How many completions are shown. */
export function completionsKey() {
  return z
    .int()
    .min(0)
    .max(1000)
    .default(8)
    .describe("completions of each iteration and evaluation that are shown, evenly over the prompts; 0: none");
}
