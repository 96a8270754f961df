/**
 * The final answer of a worked solution, and when two are the same: for data sets that give one. After the thinking, it is
 * in this order the first single-line `<answer>` (the form of R1-Zero), the last `\boxed{…}` (MATH, NuminaMath,
 * Bespoke-Stratos), the last line that begins with `####` (GSM8K).
 *
 * What it is not: mathematics. Two answers are the same if they are the same number, or the same text with white space,
 * dollar signs and a final full stop aside: `\frac12` and `0.5` differ here.
 */

import { findAnswer, summaryOf } from "../../expression/answer.ts";
import { readDecimal } from "../../expression/rational.ts";

const BOXED = "\\boxed{";
const LINE_MARK = "####";

/** The final answer in its canonical form; undefined where the text gives none. */
export function findFinalAnswer(text: string): string | undefined {
  const said = summaryOf(text);
  const tagged = findAnswer(said);
  if (!("fault" in tagged)) return canonicalAnswer(lastBoxed(tagged.text) ?? tagged.text);
  const found = lastBoxed(said) ?? lastMarkedLine(said);
  return found === undefined ? undefined : canonicalAnswer(found);
}

/** Equal answers are equal texts: a number in lowest terms, else the text without white space, dollar signs and a stop. */
export function canonicalAnswer(text: string): string {
  const bare = text.replace(/\s+|\$/g, "").replace(/\.$/, "");
  const number = readDecimal(bare.replace(/(?<=\d),(?=\d{3}(?:\D|$))/g, ""));
  return number === undefined ? bare : `${number.numerator}/${number.denominator}`;
}

/** The rest of the last line that begins with `####`. */
function lastMarkedLine(text: string): string | undefined {
  const start = `\n${text}`.lastIndexOf(`\n${LINE_MARK}`);
  return start < 0 ? undefined : text.slice(start + LINE_MARK.length).split("\n", 1)[0];
}

/** What stands in the last `\boxed{…}` whose braces close. */
function lastBoxed(text: string): string | undefined {
  for (let open = text.lastIndexOf(BOXED); open >= 0; open = open === 0 ? -1 : text.lastIndexOf(BOXED, open - 1)) {
    const start = open + BOXED.length;
    let depth = 1;
    for (let at = start; at < text.length; at++) {
      if (text[at] === "{") depth++;
      else if (text[at] === "}" && --depth === 0) return text.slice(start, at);
    }
    // An unclosed one reaches to the end: those before it can only be closed before it, so the search goes on there.
    text = text.slice(0, open);
  }
  return undefined;
}
