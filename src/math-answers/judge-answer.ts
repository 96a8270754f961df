/**
 * The verdict on a completion against a gold answer: right, wrong, or no verdict where the gold answer cannot be read or
 * the comparison would cost too much. It never throws and is bounded by construction: texts, trees, numbers and steps all
 * have limits (`read-answer.ts`, `parse.ts`, `exact.ts`, `budget.ts`), and the algebra library is only asked for single
 * operations on values of known size. So it needs no thread of its own, and tasks may ask it synchronously.
 */

import { shorten } from "../errors.ts";
import { BudgetExceeded, JudgementBudget } from "./budget.ts";
import { canonicalForm } from "./canonical.ts";
import { cleanText, plainWords } from "./clean-text.ts";
import { isDate } from "./clock.ts";
import { AnswerComparison } from "./equal.ts";
import { type Extracted, extractAnswer } from "./extract.ts";
import { extractGold, isSentence } from "./gold-answer.ts";
import { letterOf } from "./letters.ts";
import { remembered } from "./memo.ts";
import { type Reading, readAnswer } from "./read-answer.ts";
import { answerInSentence, chosenLetter, predicateOf } from "./said.ts";
import type { Answer } from "./tree.ts";

/** A verdict; `abstain` where there is none; `unreadable` says that the gold answer is the reason. */
export type MathVerdict =
  | { readonly verdict: "right" | "wrong"; readonly reason: string }
  | { readonly verdict: "abstain"; readonly reason: string; readonly unreadable: boolean };

/** Judges the final answer of a completion. `gold` is an answer, a solution that ends in one, or several that are all right. */
export function judgeMath(prompt: string, completion: string, gold: string | readonly string[]): MathVerdict {
  const golds = typeof gold === "string" ? [gold] : gold;
  let first: MathVerdict | undefined;
  const extracted = extractAnswer(prompt, completion);
  for (const one of golds) {
    const verdict = judgeExtracted(extracted, extractGold(one));
    if (verdict.verdict === "right") return verdict;
    if (!first || first.verdict === "abstain") first = verdict;
  }
  return first ?? { verdict: "abstain", reason: "there is no gold answer", unreadable: true };
}

/** Judges an answer that was found in a completion, or none, against a gold answer's text. */
export function judgeExtracted(extracted: Extracted | undefined, gold: string): MathVerdict {
  try {
    const readGold = readAnswer(gold);
    const isAlike = extracted !== undefined && alike(extracted.text, gold);
    if ("fault" in readGold && !isAlike) {
      return {
        verdict: "abstain",
        reason: `the gold answer ${shown(gold)} cannot be read: ${readGold.fault}`,
        unreadable: true,
      };
    }
    if (extracted === undefined) {
      return isSentence(gold) ? notComparable(gold) : { verdict: "wrong", reason: "there is no final answer" };
    }
    if (extracted.text.trim() === "") return { verdict: "wrong", reason: "the final answer is empty" };
    if (isAlike) return { verdict: "right", reason: `${shown(extracted.text)} is the gold answer` };
    return compare(extracted, gold);
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return { verdict: "abstain", reason: error.message, unreadable: false };
  }
}

const notComparable = (gold: string): MathVerdict => ({
  verdict: "abstain",
  reason: `the gold answer ${shown(gold)} is a sentence, which other words may say too`,
  unreadable: true,
});

function compare(extracted: Extracted, gold: string): MathVerdict {
  const budget = new JudgementBudget();
  const comparison = new AnswerComparison(budget);
  const candidates = [extracted.text];
  let fault: string | undefined;
  const isRight = (text: string, gold: string): boolean =>
    [true, false].some((grouped) => {
      // `1,234` is first a number, then two: both sides are read in the same way.
      // What begins with a zero, as in `10,080`, is no second number.
      if (!grouped && (!/\d,\d{3}/.test(`${text} ${gold}`) || /\d,0\d/.test(`${text} ${gold}`))) return false;
      const [g, a] = [readAnswer(gold, grouped), readAnswer(text, grouped)];
      if ("fault" in a) fault ??= a.fault;
      return "answer" in g && "answer" in a && comparison.same(g.answer, a.answer);
    });
  const sentence = sentenceOf(extracted, readAnswer(gold));
  if (sentence !== undefined) candidates.push(sentence);
  if (extracted.choice !== undefined) candidates.push(extracted.choice);
  const pointed = withDecimalPoint(extracted.text, gold);
  for (const text of candidates) {
    if (isRight(text, gold)) return { verdict: "right", reason: `${shown(text)} equals ${shown(gold)}` };
  }
  if (pointed && isRight(pointed.text, pointed.gold))
    return { verdict: "right", reason: `${shown(extracted.text)} equals ${shown(gold)}` };
  if (isSentence(gold)) return notComparable(gold);
  if (fault !== undefined)
    return { verdict: "wrong", reason: `the answer ${shown(extracted.text)} cannot be read: ${fault}` };
  const verb = comparison.undecided ? "cannot be shown to be" : "is not";
  return { verdict: "wrong", reason: `${shown(extracted.text)} ${verb} ${shown(gold)}` };
}

const isLetter = (answer: Answer): boolean => answer.kind === "choice" || /^[A-Ja-j]$/.test(letterOf(answer) ?? "");

/** `2,74` and `1.002,74` with a decimal point, where the gold answer is one decimal; and a gold `2,74` so. */
function withDecimalPoint(text: string, gold: string): { readonly text: string; readonly gold: string } | undefined {
  const isDecimal = (one: string) => /^\D{0,3}\d[\d,]*\.\d+\D{0,20}$/.test(one.trim());
  if (isDecimal(gold)) {
    const pointed = pointOf(text, 1);
    return pointed === undefined ? undefined : { text: pointed, gold };
  }
  // A gold `1,22` may be two answers, and `1,234` one thousand: the answer has to be the same digits.
  const pointed = /,\d{3}\D*$/.test(gold.replace(/^\D*0,/, "")) ? undefined : pointOf(gold, 2);
  const digits = (one: string) => one.replace(/[^\d.]/g, "");
  return pointed !== undefined && digits(pointed) === digits(text) ? { text, gold: pointed } : undefined;
}

/** A decimal comma as a point, where at least so many digits follow it. */
function pointOf(text: string, fewest: number): string | undefined {
  const [, before, number, after] =
    /^([\s$€£-]{0,4}|[−+])((?:\d{1,3}(?:\.\d{3})+|\d{1,30}),\d{1,30})([\s$€£%]{0,4})$/.exec(text) ?? [];
  if (number === undefined || number.length - number.indexOf(",") <= fewest) return undefined;
  return before + number.replaceAll(".", "").replace(",", ".") + after;
}

/** The answer inside a sentence. */
function sentenceOf({ text, from }: Extracted, gold: Reading): string | undefined {
  if (from === "formula" || from === "number") return undefined;
  if ("answer" in gold && isLetter(gold.answer))
    return / /.test(text.trim()) ? (chosenLetter(text) ?? answerInSentence(text)) : undefined;
  if ("answer" in gold && gold.answer.kind === "text") {
    // "Yes, it is continuous": what it begins with.
    const [, first] = /^(yes|no|true|false)\s*[,.;:—–-]\s/i.exec(text.trim()) ?? [];
    if (first !== undefined) return first;
    return predicateOf(text);
  }
  const reading = readAnswer(text);
  const isProse =
    "fault" in reading ||
    reading.answer.kind === "text" ||
    /[A-Za-z]{2,}\s+[A-Za-z]{2,}/.test(text.replace(/\\[A-Za-z]+/g, " ; "));
  // The 4 of "July 4" is no answer of its own.
  if ("answer" in reading && isDate(reading.answer)) return undefined;
  if (!isProse || !("answer" in gold) || gold.answer.kind === "text") return undefined;
  return text.length > 1000 ? undefined : answerInSentence(text.replace(/\\text\s*\{([^{}]*)\}/g, "$1 "));
}

/** The same text, white space and looks aside. */
function alike(answer: string, gold: string): boolean {
  if (answer.length > 100_000 || gold.length > 100_000) return false;
  return bare(answer) === bare(gold) && bare(answer) !== "";
}

const bare = remembered((text) => cleanText(text).replace(/(?<!\d)\s+|\s+(?!\d)/g, ""));

/** The final answer in a form that equal answers share, for majority votes; null where there is none. */
export function canonicalAnswerOf(prompt: string, completion: string): string | null {
  const extracted = extractAnswer(prompt, completion);
  if (extracted === undefined || extracted.text.trim() === "") return null;
  return canonicalText(extracted.text);
}

function canonicalText(text: string): string {
  const reading = readAnswer(text);
  const words = plainWords(text.slice(0, 1000));
  if ("fault" in reading) return words;
  try {
    return canonicalForm(reading.answer, new JudgementBudget());
  } catch (error) {
    if (error instanceof BudgetExceeded) return words;
    throw error;
  }
}

/** A text in a message: its beginning, on one line. */
function shown(text: string): string {
  const line = text.slice(0, 200).replace(/\s+/g, " ").trim();
  return shorten(line, 60).replace(/\p{Cs}/gu, "\u{FFFD}");
}
