/**
 * The gold answer in a text of a data set: an answer, a solution that ends in one, or a sentence that says it. Where a
 * sentence does not say clearly which value is the answer, it stays as it is, and the judge abstains: a guess would score
 * every completion by a wrong gold answer.
 */

import { lastClaim } from "./claims.ts";
import { isDate } from "./clock.ts";
import { boxesIn, lastLineMark, lastTagged } from "./marked.ts";
import { remembered } from "./memo.ts";
import { type Reading, readAnswer } from "./read-answer.ts";
import { afterPhrase, chosenLetter, predicateOf, withoutRemark } from "./said.ts";
import { isBag } from "./targets.ts";
import type { Answer } from "./tree.ts";

/** Longer golds are solutions, which are looked through from their end. */
const MAX_ANSWER_CHARACTERS = 2000;

/** The answer's text: in the last box or tag, behind `####` or "the answer is", what a sentence says; else all of it. */
export const extractGold = remembered((text: string): string => {
  const boxed = boxesIn(text).last;
  if (boxed) return boxed.text;
  const tagged = lastTagged(text);
  if (tagged) return tagged.text;
  const line = lastLineMark(text);
  if (line !== undefined) return line;
  if (isReadable(text)) return text;
  const words = /^\s*\$?\\text\s*\{([^{}]*)\}\.?\$?\s*$/.exec(text)?.[1];
  return saidIn(words ?? text) ?? text;
});

/** Words of sentences that the grammar would read as products of letters. */
const PROSE =
  /(?<![\\A-Za-z])(?:is|are|has|have|had|was|were|she|he|they|it|we|so|thus|then|there|hence|must|will)(?![A-Za-z])/i;

/** Whether all of the text is one answer, and no words. */
function isReadable(text: string): boolean {
  if (text.length > MAX_ANSWER_CHARACTERS || /\n\s*\S/.test(text.trim())) return false;
  const reading = readAnswer(text);
  if ("fault" in reading || (reading.answer.kind === "text" && !isDate(reading.answer))) return false;
  return !isProse(text, reading);
}

/** Whether a sentence was read as a formula. */
const isProse = (text: string, reading: Reading): boolean =>
  "answer" in reading &&
  ["expression", "relation", "list"].includes(reading.answer.kind) &&
  PROSE.test(text.replace(/\\text\s*\{[^{}]*\}/g, " "));

function saidIn(text: string): string | undefined {
  // A formula that cannot be read is left whole: a number in it is not its value.
  const bare = text.replace(/\\(?:text|mathrm|begin|end)\s*\{[^{}]*\}|(?<![A-Za-z])d[a-z](?![A-Za-z])/g, " ");
  if (countWords(bare) === 0 && !/\n/.test(text.trim()) && !/answer|答案/i.test(text)) return undefined;
  const tail = text.slice(-MAX_TAIL);
  const said = afterPhrase(tail) ?? /^\s*(yes|no)(?=[,.;:—–]\s)/i.exec(text)?.[1];
  if (said !== undefined) return said;
  const last = tail.trim().split("\n").at(-1)!;
  if (last.length < tail.trim().length && isReadable(last)) return last;
  const isShort = !/[.!?。]\s+\S|\n\s*\S/.test(text.trim());
  const main = isShort ? beforeRemark(tail) : tail;
  if (main !== tail && isReadable(main)) return main;
  const claim = lastClaim(main);
  // "at least 5" is more than one value.
  if (BOUND.test(main)) return undefined;
  if (claim) return claim.isClear && (isShort ? claim.isStated : claim.isConclusion) ? claim.text : undefined;
  return chosenLetter(tail) ?? (isShort ? predicateOf(text) : undefined);
}

/** "12, because 3 · 4 = 12": the 12; "5 is not the answer" has no remark. */
function beforeRemark(text: string): string {
  const main = withoutRemark(text);
  return /\d|\\|\$/.test(main) && !/^\s+not\b/.test(text.slice(main.length)) ? main : text;
}

const BOUND =
  /\b(?:at least|at most|(?:more|less|fewer|greater|smaller|larger) than|or (?:more|less|fewer)|up to|between)\b/i;
const MAX_TAIL = 4000;
/** As many words make a text a sentence, which says its answer in words of its own. */
const FEWEST_WORDS = 5;

/** Whether a gold answer is a sentence: another answer may say the same in other words. */
export const isSentence = remembered((text: string): boolean => {
  const reading = readAnswer(text);
  if (isProse(text, reading)) return true;
  const isLong = countWords(text) >= (/\d/.test(text) ? 2 : FEWEST_WORDS);
  return isLong && "answer" in reading && areWords(reading.answer);
});

const areWords = (answer: Answer): boolean => answer.kind === "text" || (isBag(answer) && answer.items.some(areWords));

/** Words of letters; two signs of Chinese count for one. */
function countWords(text: string): number {
  const bare = text.slice(0, MAX_TAIL).replace(/\\[A-Za-z]+/g, " ");
  const han = bare.match(/\p{Script=Han}/gu)?.length ?? 0;
  return (bare.match(/(?!\p{Script=Han})\p{L}{2,40}/gu)?.length ?? 0) + Math.floor(han / 2);
}
