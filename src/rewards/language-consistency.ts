/**
 * The share of the reasoning's words that are in the target language, 0 to 1: what DeepSeek-R1 adds to its second stage of
 * reinforcement learning against chains of thought that mix languages (arXiv:2501.12948 §2.3.2; called language
 * consistency reward, formula in words only).
 *
 * The target is the option's, else that of the row's column, else the language of the prompt. How words are counted and
 * told apart is `language/identify.ts`'s; a clause without evidence counts for the target where it is in its script. Where
 * the reasoning has no words (formulas only) or the prompt's language cannot be told, it abstains.
 */

import { z } from "zod";
import { summaryOf, thinkingOf } from "../expression/answer.ts";
import { defineRewardEntry } from "./entry.ts";
import { languageOf, shareOf, stretchesOf } from "./language/identify.ts";
import { LANGUAGE_CODES, type LanguageCode, languageCode } from "./language/languages.ts";

const PARTS = { reasoning: thinkingOf, summary: summaryOf, completion: (text: string) => text };

export const languageConsistency = defineRewardEntry({
  name: "language_consistency",
  title: "Language consistency",
  summary: "share of the reasoning's words that are in the language of the prompt, or in the one that is named",
  citation: "DeepSeek-R1, arXiv:2501.12948 §2.3.2",
  columns: [],
  options: z.strictObject({
    language: z
      .enum(["prompt", ...LANGUAGE_CODES])
      .default("prompt")
      .describe("the target; prompt: the row's column, else the language that the prompt is in"),
    column: z.string().min(1).default("language").describe("the column that names the language, where there is one"),
    part: z
      .enum(["reasoning", "summary", "completion"])
      .default("reasoning")
      .describe("what is looked at: the text before </think>, after it, or all"),
  }),
  create: ({ language, column, part }) => {
    const ofPrompt = promptLanguage();
    return ({ prompt, completion, columns }) => {
      const named = columns[column];
      const ofRow = typeof named === "string" ? languageCode(named) : undefined;
      const target = language === "prompt" ? (ofRow ?? ofPrompt(prompt)) : language;
      if (target === undefined) {
        return { score: null, reason: `the prompt's language cannot be told: set language, or a column ${column}` };
      }
      const share = shareOf(stretchesOf(PARTS[part](completion)), target);
      if (share === undefined) return { score: null, reason: `the ${part} has no words` };
      return { score: share, reason: `${(100 * share).toFixed(0)} % of the ${part}'s words are in ${target}` };
    };
  },
});

/** The completions of a group have the same prompt, so the language of the last prompt is remembered. */
function promptLanguage(): (prompt: string) => LanguageCode | undefined {
  let last: { readonly prompt: string; readonly language: LanguageCode | undefined } | undefined;
  return (prompt) => {
    if (last?.prompt !== prompt) last = { prompt, language: languageOf(stretchesOf(prompt)) };
    return last.language;
  };
}
