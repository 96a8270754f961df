/**
 * Answers in words: numbers (`twenty-one`, `two thirds`), the few phrases that stand for a set (`all real numbers`, `no
 * solution`), and congruences, whose modulus stands in words behind the residue.
 */

import { type Rational, ratio, whole } from "../expression/rational.ts";
import { plainWords } from "./clean-text.ts";
import { readIntervalWords } from "./interval-words.ts";
import type { Answer } from "./tree.ts";

const UNITS =
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(
    " ",
  );
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const PARTS = ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/** The value of a number in words; undefined where the words are none. */
export function numberOfWords(text: string): Rational | undefined {
  if (text.length > 80) return undefined;
  const words = text.toLowerCase().split(/[\s-]+/);
  const part = PARTS.indexOf(
    words
      .at(-1)!
      .replace(/^halves$/, "half")
      .replace(/s$/, ""),
  );
  if (part >= 0 && words.length <= 2) {
    const top = words.length === 1 ? 1 : UNITS.indexOf(words[0]!);
    return top > 0 && (words.length > 1 || part === 0) ? ratio(BigInt(top), BigInt(part + 2)) : undefined;
  }
  return wholeOfWords(words);
}

function wholeOfWords(words: readonly string[]): Rational | undefined {
  let [total, group, last] = [0, 0, Number.POSITIVE_INFINITY];
  for (const word of words) {
    const [unit, ten] = [UNITS.indexOf(word), TENS.indexOf(word)];
    // Each part is smaller than the one before it: "twenty one", not "one twenty".
    const value = unit >= 0 ? unit : ten >= 0 ? 20 + 10 * ten : undefined;
    if (value !== undefined) {
      const fits =
        last === Number.POSITIVE_INFINITY || last === 100 || (last >= 20 && last < 100 && value > 0 && value < 10);
      if (!fits || (value === 0 && words.length > 1)) return undefined;
      group += value;
      last = value;
    } else if (word === "hundred" && group > 0 && group < 10) {
      group *= 100;
      last = 100;
    } else if ((word === "thousand" || word === "million") && group > 0) {
      total += group * (word === "thousand" ? 1000 : 1_000_000);
      [group, last] = [0, Number.POSITIVE_INFINITY];
    } else if (word !== "and" || last !== 100) return undefined;
  }
  return words.length > 0 ? whole(total + group) : undefined;
}

type Read = (text: string) => { readonly answer: Answer } | { readonly fault: string };

const ALL_REALS = /^(?:[a-z] (?:is|can be) )?(?:set of )?(?:all|an[y]|every)? ?reals?(?: numbers?)?(?: [a-z])?$/;
const NO_SOLUTION =
  /^(?:there (?:is|are) |there exists? |(?:(?:this |given )?(?:equation|system|inequality|problem)|it) has |has )?no (?:real |integer |such )?(?:solutions?|roots?|values? of [a-z]|[a-z])(?: exists?)?$|^empty set$/;
const ENDLESS = /^(?:there (?:is|are) )?(?:infinitely many|infinite(?: number of)?)(?: solutions?)?$/;
const CONGRUENCE = /^(.*?)[\s({\\]*(?:\\[pb]?mod|\bmod(?:ulo)?)(?![a-z])\s*\{?\s*(\d{1,30})\s*\}?[\s)}]*$/;

/** `three apples`, `ninety degrees`: the number in digits, the rest as its unit. */
function countOfWords(text: string): string | undefined {
  const words = text.split(" ");
  if (words.length > 8 || !words.every((word) => /^[a-z-]+$/.test(word))) return undefined;
  for (let end = words.length - 1; end > 0; end--) {
    const value = numberOfWords(words.slice(0, end).join(" "));
    if (value?.denominator !== 1n) continue;
    return `${value.numerator} \\text{${words.slice(end).join(" ")}}`;
  }
  return undefined;
}

/** What a cleaned text says in one of these phrases; undefined where it is none of them. */
export function readPhrase(cleaned: string, read: Read): ReturnType<Read> | undefined {
  if (cleaned.length > 300) return undefined;
  const congruence = CONGRUENCE.exec(cleaned);
  if (congruence?.[1]) {
    const residue = read(congruence[1].replace(/\\equiv(?![A-Za-z])/g, "="));
    const modulus = BigInt(congruence[2]!);
    if ("fault" in residue || modulus === 0n) return residue;
    return { answer: { kind: "congruence", residue: residue.answer, modulus } };
  }
  if (!/[a-z]{3}/i.test(cleaned)) return undefined;
  const words = plainWords(cleaned).replace(/^\(|\)$/g, "");
  if (ALL_REALS.test(words)) return { answer: { kind: "numbers", name: "R" } };
  if (NO_SOLUTION.test(words)) return { answer: { kind: "set", items: [] } };
  if (ENDLESS.test(words)) return { answer: { kind: "text", text: "infinitely many" } };
  const interval = readIntervalWords(cleaned, read);
  if (interval) return { answer: interval };
  const value = numberOfWords(words);
  if (value) return { answer: { kind: "expression", node: { kind: "number", value } } };
  const counted = countOfWords(words);
  if (counted) return read(counted);
  if (words === "dne") return { answer: { kind: "text", text: "does not exist" } };
  // "a rectangle": the article is no symbol.
  const noun = /^(?:an?|the)\s+(?!and\b|or\b)([A-Za-z]{3}[A-Za-z\s-]*)$/i.exec(cleaned);
  return noun ? read(noun[1]!) : undefined;
}
