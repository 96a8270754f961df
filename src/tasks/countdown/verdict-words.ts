/** What a demonstration says of a try, in each language; a verdict of direction ends its line. */

import type { Language } from "../language.ts";

export interface VerdictWords {
  readonly yes: string;
  readonly tooLow: string;
  readonly tooHigh: string;
}

export const VERDICT_WORDS: Readonly<Record<Language, VerdictWords>> = {
  english: { yes: " yes", tooLow: " too low\n", tooHigh: " too high\n" },
  chinese: { yes: " 对", tooLow: " 太小\n", tooHigh: " 太大\n" },
};
