/**
 * The format reward of R1-Zero: 1 where the whole completion is `<think>…</think>\n<answer>…</answer>`, else 0.
 * DeepSeek-R1 (arXiv:2501.12948) §2.2.2, in the exact form of Mini-R1's regular expression (see `formFault`, which also
 * says when the opening tag may stand in the prompt).
 */

import { z } from "zod";
import { formFault } from "../expression/answer.ts";
import { defineReward } from "./definition.ts";

export const format = defineReward({
  name: "format",
  summary: "1 where the completion is <think>…</think>, a line feed, <answer>…</answer>; else 0",
  columns: [],
  options: z.strictObject({}),
  create: () => (input) => {
    const fault = formFault(input.prompt, input.completion);
    return fault === undefined
      ? { score: 1, reason: "has the form <think>…</think>, <answer>…</answer>" }
      : { score: 0, reason: fault };
  },
});
