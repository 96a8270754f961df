/**
 * A softer format reward: a quarter for each of `<think>\n`, `\n</think>\n`, `\n<answer>\n` and `\n</answer>` that is
 * there exactly once, so that a model that begins with none of them can improve step by step. open-r1's
 * tag_count_reward.
 *
 * Departure: a `<think>` at the prompt's end counts, with the white space around it; open-r1 looks at the completion only.
 */

import { z } from "zod";
import { withPromptedThink } from "../expression/answer.ts";
import { defineRewardEntry } from "./entry.ts";

const TAGS = ["<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>"];

export const tagCount = defineRewardEntry({
  name: "tag_count",
  title: "Tag count",
  summary: "0.25 for each of <think>, </think>, <answer>, </answer> that stands on its own line exactly once",
  citation: "open-r1, tag_count_reward",
  columns: [],
  trl: [{}],
  options: z.strictObject({}),
  create: () => (input) => {
    const text = withPromptedThink(input.prompt, input.completion);
    const counts = TAGS.map((tag) => text.split(tag, 3).length - 1);
    const wrong = TAGS.flatMap((tag, i) =>
      counts[i] === 1
        ? []
        : [`${tag.trim()} ${counts[i] === 0 ? "is not there on a line of its own" : "twice or more"}`],
    );
    const score = (TAGS.length - wrong.length) / TAGS.length;
    return { score, reason: wrong.length === 0 ? "every tag stands on its own line once" : wrong.join(", ") };
  },
});
