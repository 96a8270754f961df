/**
 * How much a completion looks as if it went step by step: min(1, n / steps) for n matches of
 * `(Step \d+:|^\d+\.|\n-|\n\*|First,|Second,|Next,|Finally,)`, `^` at every line. open-r1's reasoning_steps_reward.
 *
 * It counts words, not thoughts, so a policy can satisfy it easily: give it little weight.
 */

import { z } from "zod";
import { defineRewardEntry } from "./entry.ts";

/** Python's `\d` is any decimal digit, and its `^` stands after line feeds only. */
const STEP = /Step \p{Nd}+:|(?<![^\n])\p{Nd}+\.|\n-|\n\*|First,|Second,|Next,|Finally,/gu;

export const reasoningSteps = defineRewardEntry({
  name: "reasoning_steps",
  title: "Reasoning steps",
  summary: "signs of steps (Step 1:, 1., -, *, First, …) as a share of those wanted, at most 1",
  citation: "open-r1 and train-deepseek-r1, reasoning_steps_reward",
  columns: [],
  trl: [{}],
  options: z.strictObject({
    steps: z.int().min(1).default(3).describe("how many signs of steps score 1"),
  }),
  create:
    ({ steps }) =>
    ({ completion }) => {
      let found = 0;
      for (const _ of completion.matchAll(STEP)) found++;
      return { score: Math.min(1, found / steps), reason: `${found} signs of steps; ${steps} are wanted` };
    },
});
