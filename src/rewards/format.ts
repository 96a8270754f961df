/**
 * The format reward of R1-Zero: 1 where the whole completion has the form, else 0. DeepSeek-R1 (arXiv:2501.12948) §2.2.2
 * says only that thinking belongs between its tags; what is checked differs between reproductions, so it is an option:
 *
 *   line     `<think>…</think>\n<answer>…</answer>`, the exact form of Mini-R1's regular expression (see `formFault`)
 *   spaced   any white space, or none, between the two: `^<think>.*?</think>\s*<answer>.*?</answer>$`, as in
 *            train-deepseek-r1
 *   lines    every tag on a line of its own: `^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$`, open-r1's format_reward
 *   think    `<think>…</think>` and then anything, `<think>` only once: TRL's think_format_reward
 *
 * In all of them the opening tag may stand at the prompt's end. Departure from the regular expressions of Python that are
 * not Mini-R1's: those run with MULTILINE, so that their `$` also stands at the end of any line; here it is the end of
 * the completion, white space after it aside.
 */

import { z } from "zod";
import { formFault, withPromptedThink } from "../expression/answer.ts";
import { defineRewardEntry } from "./entry.ts";

const FORMS = ["line", "spaced", "lines", "think"] as const;

const described = {
  line: "has the form <think>…</think>, <answer>…</answer>",
  spaced: "has the form <think>…</think> <answer>…</answer>",
  lines: "has <think>, </think>, <answer> and </answer> on lines of their own",
  think: "has the form <think>…</think>, then text",
};

export const format = defineRewardEntry({
  name: "format",
  title: "Format",
  summary: "1 where the completion is <think>…</think>, a line feed, <answer>…</answer>; else 0",
  citation: "DeepSeek-R1, arXiv:2501.12948 §2.2.2; Mini-R1, train-deepseek-r1, open-r1, TRL think_format_reward",
  columns: [],
  trl: [{}],
  options: z.strictObject({
    form: z
      .enum(FORMS)
      .default("line")
      .describe(
        "line: a line feed between thinking and answer; spaced: any white space; lines: every tag on its own line; think: no answer tags",
      ),
  }),
  create:
    ({ form }) =>
    (input) => {
      const fault =
        form === "line"
          ? formFault(input.prompt, input.completion)
          : faultOf(withPromptedThink(input.prompt, input.completion), form);
      return fault === undefined ? { score: 1, reason: described[form] } : { score: 0, reason: fault };
    },
});

/** Why a text, its opening tag included, does not have one of the other forms. */
function faultOf(text: string, form: Exclude<(typeof FORMS)[number], "line">): string | undefined {
  if (form === "lines") return linesFault(text);
  if (!text.startsWith("<think>")) return "does not start with <think>";
  const close = text.indexOf("</think>");
  if (close < 0) return "has no </think>";
  if (form === "think") return text.indexOf("<think>", 1) < 0 ? undefined : "opens <think> more than once";
  const rest = text.slice(close + "</think>".length).trim();
  if (!rest.startsWith("<answer>")) return "has no <answer> right after </think>";
  return rest.endsWith("</answer>") ? undefined : "does not end with </answer>";
}

/** Why not every tag stands on a line of its own, in their order. */
function linesFault(text: string): string | undefined {
  const [open, middle, close] = ["<think>\n", "\n</think>\n<answer>\n", "\n</answer>"];
  if (!text.startsWith(open)) return "does not start with <think> on a line of its own";
  const turn = text.indexOf(middle, open.length);
  if (turn < 0) return "has no </think> and <answer> on lines of their own";
  const answer = text.slice(turn + middle.length).trimEnd();
  return answer.endsWith(close) ? undefined : "does not end with </answer> on a line of its own";
}
