/**
 * Values in running text, without delimiters: `.4`, `10^3`, `\frac{3}{4}`, `1 1/4 hours`, `$8`, `x = 5`, `(2, 3)`. A value is
 * a run of signs of mathematics that no word of a language interrupts; it is never a piece of one. What is no value at all
 * is left out: the 12 of "room B12", the 3 of "step 3" and of "a 3-digit number", the 2. of an enumeration, "3-5 days".
 */

import { readUnit } from "./units.ts";

/** A value in a text: where it stands with its unit, and what it says. */
export interface PlainValue {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** A number behind a sign of equality. */
  readonly isResult: boolean;
}

/** Longer runs are no final answer. */
const MAX_RUN = 400;

const NUMERAL =
  /(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,3}(?:[ \u00A0\u2009\u202F]\d{3})+(?![\d,/]|\.\d)|\d+)(?:[.,]\d+)*|\.\d+/y;
const COMMAND =
  /\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{[^{}]{0,80}\}|\\(?!text|mathrm|boxed|fbox)[A-Za-z]+\*?|\\[{}%$,;!: ]/y;
const FUNCTION = /(?:sin|cos|tan|cot|sec|csc|log|ln|sqrt|pi)(?![A-Za-z])/y;
const SEGMENT = /[A-Z]{2,3}(?=\s*[=:/+·])|(?<=[/+·:]\s?)[A-Z]{2,3}(?![A-Za-z])/y;
const OPERATOR = /\*\*|[-+*/^_=<>≤≥≠≈×·÷−–±%!|°√∞π½⅓⅔¼¾⅛⅜⅝⅞€£∪⁰¹²³⁴⁵⁶⁷⁸⁹⁻]/y;
const SPACE = /[ \t\u00A0\u2009\u202F]{1,3}/y;

/** The values of a text in order; `skip` are places that are not looked at, in order and apart from each other. */
export function plainValues(
  text: string,
  skip: readonly { readonly start: number; readonly end: number }[],
): readonly PlainValue[] {
  const values: PlainValue[] = [];
  let next = 0;
  for (let at = 0; at < text.length; ) {
    while (next < skip.length && skip[next]!.end <= at) next++;
    const barrier = skip[next];
    if (barrier && at >= barrier.start) {
      at = barrier.end;
      continue;
    }
    const run = runFrom(text, at, Math.min(barrier?.start ?? text.length, at + MAX_RUN));
    if (run > at) {
      const value = valueIn(text, at, run);
      if (value) values.push(value);
      at = Math.max(run, value?.end ?? 0);
    } else at = afterWord(text, at);
  }
  return values;
}

const WORD = /[\p{L}\p{M}\d_'’]+(?:-[\p{L}]+)*/uy;
const LETTERED = /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}]/u;

/** The index behind the word that begins here, digits in it included (`B12`); of scripts without spaces one sign. */
function afterWord(text: string, at: number): number {
  if (!LETTERED.test(text.slice(at, at + 2))) return at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
  WORD.lastIndex = at;
  return WORD.test(text) ? WORD.lastIndex : at + 1;
}

/** Where the run of mathematics that begins here ends; `at` where none does. */
function runFrom(text: string, at: number, limit: number): number {
  let end = at;
  let depth = 0;
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = end;
    const found = pattern.exec(text);
    if (!found || pattern.lastIndex > limit) return undefined;
    end = pattern.lastIndex;
    return found[0];
  };
  let last = end;
  while (end < limit) {
    const sign = text[end]!;
    if (match(NUMERAL) ?? match(COMMAND) ?? match(FUNCTION) ?? match(SEGMENT) ?? match(OPERATOR)) last = end;
    else if (sign === "$" && /^\$\s?[\d.]/.test(text.slice(end, end + 3))) last = ++end;
    else if ("([{".includes(sign)) {
      depth++;
      last = ++end;
    } else if (")]}".includes(sign)) {
      depth--;
      last = ++end;
    } else if (depth > 0 && (sign === "," || sign === ";")) end++;
    else if (sign === ":" && /\d:\d|\d : \d|[A-Z]:[A-Z]/.test(text.slice(Math.max(at, end - 2), end + 3))) end++;
    else if (isVariable(text, at, end)) last = ++end;
    else if (!match(SPACE)) break;
  }
  return last;
}

/** A letter by itself in a formula: the article "a" and the pronoun "I" have no operator beside them. */
function isVariable(text: string, start: number, at: number): boolean {
  if (!/[A-Za-zα-ωΑ-Ω]/.test(text[at]!)) return false;
  if (/\p{L}/u.test(text[at + 1] ?? "") || (at > start && /\p{L}/u.test(text[at - 1]!))) return false;
  if (at > start && /[\d)}^_*/+=<>√π]/.test(text[at - 1]!)) return true;
  const [before, after] = [text.slice(start, at).trimEnd().at(-1) ?? "", text.slice(at + 1, at + 4).trimStart()];
  return (
    /[-+*/=<>≤≥≠^(|,−·×]/.test(before) || /^[=<>≤≥≠^+*/_(²³]/.test(after) || /^-\s?[\dA-Za-z](?![A-Za-z])/.test(after)
  );
}

const OPENERS = "([{";
const CLOSERS = ")]}";

/** The value of a run; undefined where it has none. */
function valueIn(text: string, from: number, to: number): PlainValue | undefined {
  let [start, end] = balanced(text, from, to);
  // A sign stands right before what it is the sign of; a dash does not.
  const lead = /^(?:[\s*/^_=<>≤≥≠≈×·÷!|%:,;]|[-−–+](?!\S)|[–](?=\S))+/.exec(text.slice(start, end));
  if (lead) start += lead[0].length;
  const trail = /(?:[-+*/^_=<>≤≥≠≈×·÷−–|:,;\s$±]|\\[,;:! ])+$/.exec(text.slice(start, end));
  if (trail) end -= trail[0].length;
  // The mark at the end of a sentence.
  if (text[end - 1] === "!" && /^\s*$|^\s+[A-Z]/.test(text.slice(end, end + 3))) end--;
  const run = text.slice(start, end);
  if (start >= end || !/[\d∞π½⅓⅔¼¾⅛⅜⅝⅞]|\\(?:pi|infty|emptyset)(?![A-Za-z])/.test(run)) return undefined;
  if (!isValue(text, start, end)) return undefined;
  const unit = unitAfter(text, end);
  return { start, end: end + unit.length, text: spacedUnit(lastOfSum(run) + unit), isResult: endsInNumber(run) };
}

/** The longest part at the end of a run in which every bracket closes. */
function balanced(text: string, from: number, to: number): [number, number] {
  const open: number[] = [];
  let start = from;
  for (let i = from; i < to; i++) {
    if (text[i] === "\\") i++;
    else if (OPENERS.includes(text[i]!)) open.push(i);
    else if (CLOSERS.includes(text[i]!) && open.pop() === undefined) {
      // "12)": what stands before it is the value, where nothing follows.
      if (/^[\s)\]}.,;:]*$/.test(text.slice(i, to))) return [start, i];
      start = i + 1;
    }
  }
  const last = open.at(-1);
  if (last === undefined) return [start, to];
  // "12 (": what stands before the bracket, where no number follows it.
  if (!/\d/.test(text.slice(last + 1, to)) && /\d/.test(text.slice(start, last))) return [start, last];
  return [Math.max(start, last + 1), to];
}

/** Words whose number is a name. */
const NUMBERED =
  /(?:^|[^\p{L}])(?:step|case|equations?|eq\.?|formula|fig(?:ure)?\.?|table|section|lines?|chapter|pages?|theorem|lemma|problem|question|exercise|example|part|method|room|no\.|item|proposition|corollary)\s*[(#]?$/iu;

function isValue(text: string, start: number, end: number): boolean {
  const [run, before, after] = [
    text.slice(start, end),
    text.slice(Math.max(0, start - 40), start),
    text.slice(end, end + 30),
  ];
  // "3-5 days", "2024-05-06", "1.2.3".
  if (/^\d+(?:\.\d+)?(?:\s?[-–]\s?\d+(?:\.\d+)?)+$/.test(run) || /^\d+\.\d+\.[\d.]+$/.test(run)) return false;
  // "a 3-digit number", "H2O".
  if (/^-\p{L}/u.test(after) || (run[0] !== "$" && /[\p{Script=Latin}_#]$/u.test(before))) return false;
  // "2. Then", "2) then" at the beginning of a line.
  if (/^\d{1,2}$/.test(run) && /(?:^|\n)\s*[([]?$/.test(before) && /^[.)\]]\s+\S/.test(after)) return false;
  return !NUMBERED.test(before);
}

/** `3 + 4 = 7`, `x = 7`: behind the last sign of equality stands no name. */
export const endsInNumber = (formula: string): boolean =>
  /=[^=A-Za-z]*$/.test(formula.replace(/\\(?:text|mathrm)\s*\{[^{}]*\}|\\(?!text|mathrm)[A-Za-z]+/g, ""));

/** `3 + 4 = 7` is 7; `x = 7` and `x + y = 7` are what they are. */
function lastOfSum(run: string): string {
  const at = run.lastIndexOf("=");
  // "3-1/2 cups" is no difference.
  if (at < 0 || /[<>]/.test(run)) return run.trim().replace(/^(\d+)-(\d+\/\d+)$/, "$1 $2");
  const isNumeric = !/[A-Za-zα-ωΑ-Ω]/.test(run.slice(0, at).replace(/\\[A-Za-z]+/g, ""));
  return (isNumeric ? run.slice(at + 1) : run).trim();
}

/** `5m²`: glued to its number a unit would be read as a factor. */
const spacedUnit = (value: string): string => value.replace(/(\d)([A-Za-z]{1,3}[²³])$/, "$1 $2");

const GLUED = /^(?:[A-Za-z]{1,12}(?:\s?\/\s?[A-Za-z]{1,6})?(?:\^?[23]|[²³])?)(?![\p{L}\d])/u;
const SPACED =
  /^(?:\s|[ \u00A0])(?:(?:square|cubic|sq)\.? [A-Za-z]{1,14}|[A-Za-z]{1,14}(?: per [A-Za-z]{1,10}|\s?\/\s?[A-Za-z]{1,6})?)(?:\^\{?[23]\}?|[²³]| squared| cubed)?(?![\p{L}\d])/u;
const SAID =
  /^(?:\s?(?:%|\\%|percent|per cent|pct)|(?:st|nd|rd|th)(?![A-Za-z])|\s?[ap]\.?m\b\.?|\s(?:hundred|thousand|million|billion|trillion)s?\b(?: dollars)?|\sand a half\b|\sout of \d{1,15}(?!\d|\.\d)|\s?[€£]|\s?\\?\$(?![\d\s]*\d))/i;

/** What belongs to the value behind it: a percent sign, a unit of measure, "million". */
function unitAfter(text: string, end: number): string {
  const after = text.slice(end, end + 40);
  const said = SAID.exec(after);
  if (said) return said[0].replace(/^(?:st|nd|rd|th)$/i, "");
  const [unit] = GLUED.exec(after) ?? SPACED.exec(after) ?? [];
  if (unit === undefined || /^\s(?:in|a|t|i|s|h|l|j|w|v|n)$/i.test(unit)) return "";
  return readUnit(unit.trim())?.measure ? unit : "";
}
