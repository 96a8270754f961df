/**
 * The format reward of R1-Zero: 1 where the whole completion has the form, else 0. DeepSeek-R1 (arXiv:2501.12948) §2.2.2
 * says only that thinking belongs between its tags; what is checked differs between reproductions, so it is an option:
 *
 *   line     `<think>…</think>\n<answer>…</answer>`, the exact form of Mini-R1's regular expression (see `formFault`)
 *   spaced   any white space, or none, between the two: `^<think>.*?</think>\s*<answer>.*?</answer>$`, as in
 *            train-deepseek-r1
 *   think    `<think>…</think>` and then anything, `<think>` only once: TRL's think_format_reward
 *
 * In all of them the opening tag may stand at the prompt's end. Departure from the two regular expressions of Python that
 * are not Mini-R1's: those run with MULTILINE, so that their `$` also stands at the end of any line; here it is the end of
 * the completion, white space after it aside.
 */

import { z } from "zod";
import { formFault, withPromptedThink } from "../expression/answer.ts";
import { rewardEntry } from "./entry.ts";

const FORMS = ["line", "spaced", "think"] as const;

const described = {
  line: "has the form <think>…</think>, <answer>…</answer>",
  spaced: "has the form <think>…</think> <answer>…</answer>",
  think: "has the form <think>…</think>, then text",
};

export const format = rewardEntry({
  name: "format",
  title: "Format",
  summary: "1 where the completion is <think>…</think>, a line feed, <answer>…</answer>; else 0",
  citation: "DeepSeek-R1, arXiv:2501.12948 §2.2.2; Mini-R1, train-deepseek-r1, TRL think_format_reward",
  columns: [],
  trl: [{}],
  options: z.strictObject({
    form: z
      .enum(FORMS)
      .default("line")
      .describe("line: a line feed between thinking and answer; spaced: any white space; think: no answer tags"),
  }),
  create:
    ({ form }) =>
    (input) => {
      const fault =
        form === "line"
          ? formFault(input.prompt, input.completion)
          : looseFault(withPromptedThink(input.prompt, input.completion), form);
      return fault === undefined ? { score: 1, reason: described[form] } : { score: 0, reason: fault };
    },
});

/** Why a text, its opening tag included, does not have one of the two other forms. */
function looseFault(text: string, form: "spaced" | "think"): string | undefined {
  if (!text.startsWith("<think>")) return "does not start with <think>";
  const close = text.indexOf("</think>");
  if (close < 0) return "has no </think>";
  if (form === "think") return text.indexOf("<think>", 1) < 0 ? undefined : "opens <think> more than once";
  const rest = text.slice(close + "</think>".length).trim();
  if (!rest.startsWith("<answer>")) return "has no <answer> right after </think>";
  return rest.endsWith("</answer>") ? undefined : "does not end with </answer>";
}
