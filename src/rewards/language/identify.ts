/**
 * Which language the words of a text are in, clause by clause. The script decides where a language is alone in it; within
 * Latin, Cyrillic and Arabic a clause belongs to the language whose common words and letters it has most of. A clause
 * without evidence belongs to none in particular: it fits every language of its script.
 *
 * Not counted: numbers, formulas (LaTeX, single letters, words with digits), code, tags, addresses. Scripts without
 * spaces count per character, the others per word. Everything is linear in the length of the text.
 *
 * What it is not: a classifier for documents of any kind. It has to be right about a chain of thought that is in one of
 * two or three languages, from a dozen words on, and cautious below.
 */

import { LANGUAGE_CODES, LANGUAGE_PROFILES, type LanguageCode, type Script } from "./languages.ts";

/** Units (words or characters) of one script in one clause, and the languages that they may be in. */
export interface Stretch {
  readonly units: number;
  readonly script: Script | "other";
  /** Empty: any language of the script. */
  readonly languages: readonly LanguageCode[];
}

/**
 * Code, formulas, addresses and tags, all searched for in linear time: no pattern can match its own beginning again or
 * search without a limit.
 */
const NEUTRAL = [
  /```[\s\S]*?(?:```|$)/g,
  /\$\$[\s\S]*?(?:\$\$|$)/g,
  /\\\[(?:[^\\]|\\(?!\[))*?\\\]/g,
  /\\\((?:[^\\]|\\(?!\())*?\\\)/g,
  /\$(?=\S)[^$\n]{0,300}?\S\$/g,
  /\\boxed\{[^{}\n]{0,300}\}/g,
  /`[^`\n]{0,300}`/g,
  /<\/?[a-z|_][^<>\n]{0,60}>/gi,
  /https?:\/\/\S+/g,
  /\\[a-z]+/gi,
];

/** Names of functions and the like, in every language's formulas. */
const FORMULA_WORDS = new Set(
  "sin cos tan cot log ln exp lim max min mod gcd lcm sqrt frac cdot times boxed text left right pi ok qed".split(" "),
);

const CLAUSE_END = /[.!?;:\n。！？；：،؛।…]+/u;

/** A character of a script that is counted so, or a run of letters, digits and marks of the others. */
const UNIT =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー\p{Script=Thai}]|[^\P{L}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}][^\P{L}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{M}\p{N}_'’]*/gu;

const SCRIPT_TESTS: readonly (readonly [Script, RegExp])[] = [
  ["Latin", /\p{Script=Latin}/u],
  ["Han", /\p{Script=Han}/u],
  ["Kana", /[\p{Script=Hiragana}\p{Script=Katakana}ー]/u],
  ["Cyrillic", /\p{Script=Cyrillic}/u],
  ["Greek", /\p{Script=Greek}/u],
  ["Arabic", /\p{Script=Arabic}/u],
  ["Hebrew", /\p{Script=Hebrew}/u],
  ["Devanagari", /\p{Script=Devanagari}/u],
  ["Thai", /\p{Script=Thai}/u],
  ["Hangul", /\p{Script=Hangul}/u],
];

/** Han characters of a clause without kana that may still be Japanese: a compound or two. */
const MAX_KANJI_ALONE = 8;

/** How many languages of a script list a word. */
const sharedBy = new Map<string, number>();
for (const { words } of Object.values(LANGUAGE_PROFILES)) {
  for (const word of words) sharedBy.set(word, (sharedBy.get(word) ?? 0) + 1);
}

/** The stretches of a text, in order. */
export function stretchesOf(text: string): Stretch[] {
  let plain = text;
  for (const pattern of NEUTRAL) plain = plain.replace(pattern, " ");
  return plain.split(CLAUSE_END).flatMap(clauseStretches);
}

/** The share of a text's words that are, or may be, in a language; undefined where it has no words. */
export function shareOf(stretches: readonly Stretch[], code: LanguageCode): number | undefined {
  const { scripts } = LANGUAGE_PROFILES[code];
  let all = 0;
  let fitting = 0;
  for (const { units, script, languages } of stretches) {
    all += units;
    const fits =
      languages.length > 0 ? languages.includes(code) : (scripts as readonly (Script | "other")[]).includes(script);
    if (fits) fitting += units;
  }
  return all === 0 ? undefined : fitting / all;
}

/** The language that most of a text's words are surely in; undefined where there is no evidence for any. */
export function languageOf(stretches: readonly Stretch[]): LanguageCode | undefined {
  const units = new Map<LanguageCode, number>();
  for (const { units: count, languages } of stretches) {
    if (languages.length === 1) units.set(languages[0]!, (units.get(languages[0]!) ?? 0) + count);
  }
  let best: LanguageCode | undefined;
  for (const [code, count] of units) if (best === undefined || count > units.get(best)!) best = code;
  return best;
}

function clauseStretches(clause: string): Stretch[] {
  const byScript = new Map<Script | "other", string[]>();
  for (const [unit] of clause.matchAll(UNIT)) {
    const script = SCRIPT_TESTS.find(([, test]) => test.test(unit))?.[0] ?? "other";
    if (isNeutral(unit, script)) continue;
    const units = byScript.get(script);
    if (units) units.push(unit.toLowerCase());
    else byScript.set(script, [unit.toLowerCase()]);
  }
  return [...byScript].map(([script, units]) => {
    return { units: units.length, script, languages: languagesOf(script, units, byScript.has("Kana")) };
  });
}

/** Variables, and words of formulas. */
function isNeutral(unit: string, script: Script | "other"): boolean {
  if (script !== "Latin" && script !== "Greek") return false;
  return [...unit].length === 1 || /[\p{N}_]/u.test(unit) || FORMULA_WORDS.has(unit.toLowerCase());
}

function languagesOf(script: Script | "other", units: readonly string[], besideKana: boolean): readonly LanguageCode[] {
  if (script === "other") return [];
  if (script === "Kana") return ["ja"];
  if (script === "Han") return besideKana ? ["ja"] : units.length > MAX_KANJI_ALONE ? ["zh"] : ["zh", "ja"];
  const candidates = LANGUAGE_CODES.filter((code) => LANGUAGE_PROFILES[code].scripts[0] === script);
  if (candidates.length === 1) return candidates;
  const scores = candidates.map((code) => evidence(code, units));
  const best = Math.max(...scores);
  // A word that only one language has is enough for a short clause; a long one would have more of them.
  if (best < (units.length > 6 ? 1.5 : 1)) return [];
  return candidates.filter((_, i) => scores[i]! > best - 0.25);
}

/** Common words of a language in a clause, shared ones in part, and a half for each word with a letter of its own. */
function evidence(code: LanguageCode, units: readonly string[]): number {
  const { words, letters } = LANGUAGE_PROFILES[code];
  let score = 0;
  for (const unit of units) {
    const word = unit.replaceAll("’", "'");
    if (words.has(word)) score += 1 / sharedBy.get(word)!;
    else if (letters.size > 0 && [...word].some((letter) => letters.has(letter))) score += 0.75;
  }
  return score;
}
