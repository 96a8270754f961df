/**
 * The languages that a task of ours may ask in, and how much of a text is in one of them.
 *
 * What it is not: language identification. The two languages have scripts of their own, so the script of a word says
 * which it is; the reward `language_consistency` tells languages of one script apart too.
 */

import { sumOf } from "../statistics.ts";

/** Their names, as recipes write them. */
export const LANGUAGES = ["english", "chinese"] as const;
export type Language = (typeof LANGUAGES)[number];

const WORDS: Readonly<Record<Language, RegExp>> = { english: /[A-Za-z]+/g, chinese: /\p{Script=Han}/gu };
const TAGS = /<\/?[a-z]+>/g;

/**
 * The share of a text's words that are in `language`, a Chinese character counting as a word; numbers, operators and tags
 * are of no language. undefined where there is no word at all. DeepSeek-R1 (arXiv:2501.12948) §2.3.2.
 */
export function languageShare(text: string, language: Language): number | undefined {
  const words = text.replace(TAGS, " ");
  const counts = LANGUAGES.map((one) => words.match(WORDS[one])?.length ?? 0);
  const total = sumOf(counts);
  return total === 0 ? undefined : counts[LANGUAGES.indexOf(language)]! / total;
}
