/**
 * Where the final answer of a completion stands. What comes after the last `</think>` counts, and nothing before it; where
 * the thinking is opened and never closed, only an `<answer>` does. There it is the last `<answer>…</answer>` or
 * `\boxed{…}`, whichever begins later (in an `<answer>`, the box in it); else the line after `####` (GSM8K); else what
 * "the answer is" says; else the last formula between dollar signs; else the last number.
 *
 * Every search is a scan from the end or a single pass: a completion of a million brackets takes milliseconds.
 */

import { endsInsideThink } from "../expression/answer.ts";

/** A final answer's text, and how it was found. */
export interface Extracted {
  readonly text: string;
  readonly from: "answer" | "boxed" | "####" | "phrase" | "formula" | "number";
}

const THINK_CLOSE = "</think>";
const ANSWER_OPEN = "<answer>";
const ANSWER_CLOSE = "</answer>";
/** Only the end of what is not marked is looked through. */
const TAIL_CHARACTERS = 4000;

/** The part of a completion that may hold the answer. */
export function finalPart(prompt: string, completion: string): { readonly text: string; readonly closed: boolean } {
  const close = completion.lastIndexOf(THINK_CLOSE);
  if (close >= 0) return { text: completion.slice(close + THINK_CLOSE.length), closed: true };
  const isOpen = endsInsideThink(prompt) || completion.includes("<think>");
  return { text: completion, closed: !isOpen };
}

/** The final answer of a completion; undefined where it gives none. */
export function extractAnswer(prompt: string, completion: string): Extracted | undefined {
  const { text, closed } = finalPart(prompt, completion);
  const tagged = lastTagged(text);
  if (!closed) return tagged && fromTagged(tagged.text);
  const boxed = lastBoxed(text);
  if (tagged && (!boxed || boxed.start < tagged.end)) return fromTagged(tagged.text);
  if (boxed) return { text: boxed.text, from: "boxed" };
  // A box that is cut off: what it would have held is not known.
  if (/\\(?:boxed|fbox)\s*\{/.test(text)) return undefined;
  return fromLine(text) ?? fromProse(text);
}

/** The answer of a solution or of an answer column: as in a completion, else all of it. */
export function extractGold(text: string): string {
  const boxed = lastBoxed(text);
  if (boxed) return boxed.text;
  const tagged = lastTagged(text);
  if (tagged) return tagged.text;
  return fromLine(text)?.text ?? text;
}

function fromTagged(content: string): Extracted {
  const boxed = lastBoxed(content);
  return { text: boxed ? boxed.text : content.trim(), from: "answer" };
}

/** A number that the sentence ends with, perhaps a unit behind it. */
const SENTENCE_END =
  /(?:\b(?:is|are|equals?|be|to|gives?|get)|[=:])\s+(-?\$?\d[\d,]*(?:\.\d+)?(?:\/\d+)?%?(?:\s[A-Za-z]{1,20})?)\s*\.?$/;

/** What a sentence ends in: for answers that are no formula as a whole. */
export function answerInSentence(sentence: string): string | undefined {
  const said = afterPhrase(sentence) ?? lastFormula(sentence);
  if (said !== undefined) return said;
  return SENTENCE_END.exec(sentence)?.[1];
}

function lastTagged(text: string): { readonly text: string; readonly end: number } | undefined {
  const close = text.lastIndexOf(ANSWER_CLOSE);
  if (close < 0) return undefined;
  const open = text.lastIndexOf(ANSWER_OPEN, close);
  return open < 0 ? undefined : { text: text.slice(open + ANSWER_OPEN.length, close), end: close };
}

/** The last box whose braces close; one inside another belongs to the outer one. */
function lastBoxed(text: string): { readonly text: string; readonly start: number } | undefined {
  const pattern = /\\(?:boxed|fbox|framebox)\s*/g;
  let found: { readonly text: string; readonly start: number } | undefined;
  // Where each brace closes, found once for all boxes.
  const closing = closingBraces(text, pattern.test(text));
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const start = pattern.lastIndex;
    if (text[start] !== "{") {
      const word = /^(-?[A-Za-z0-9.]+)/.exec(text.slice(start, start + 40));
      if (word) found = { text: word[1]!, start: match.index };
      continue;
    }
    const end = closing.get(start);
    if (end === undefined) continue;
    found = { text: withoutBox(text.slice(start + 1, end)), start: match.index };
    pattern.lastIndex = end;
  }
  return found;
}

function withoutBox(text: string): string {
  const inner = /^\s*\\(?:boxed|fbox)\s*\{([\s\S]*)\}\s*$/.exec(text);
  return (inner ? inner[1]! : text).trim();
}

function closingBraces(text: string, wanted: boolean): ReadonlyMap<number, number> {
  const closing = new Map<number, number>();
  if (!wanted) return closing;
  const open: number[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && /[{}\\]/.test(text[i + 1] ?? "")) i++;
    else if (text[i] === "{") open.push(i);
    else if (text[i] === "}") {
      const start = open.pop();
      if (start !== undefined) closing.set(start, i);
    }
  }
  return closing;
}

/** The rest of the last line that begins with `####`. */
function fromLine(text: string): Extracted | undefined {
  const start = `\n${text}`.lastIndexOf("\n####");
  if (start < 0) return undefined;
  const line = text
    .slice(start + 4)
    .split("\n", 1)[0]!
    .trim();
  return { text: line, from: "####" };
}

function fromProse(text: string): Extracted | undefined {
  const tail = text.slice(-TAIL_CHARACTERS);
  const said = afterPhrase(tail);
  if (said !== undefined) return { text: said, from: "phrase" };
  const formula = lastFormula(tail);
  if (formula !== undefined) return { text: formula, from: "formula" };
  const number = numbersOf(tail).at(-1);
  return number === undefined ? undefined : { text: number, from: "number" };
}

const PHRASE =
  /\b(?:answer|result|solution)s?(?: to [^.\n:]{1,80})?(?:\s+(?:is|are|equals|would be|will be|must be)\b:?|\s*[:=])|答案(?:是|为|：|:)?/gi;

/** What the last "the answer is" says, up to the end of its sentence. */
function afterPhrase(text: string): string | undefined {
  let start: number | undefined;
  for (const match of text.matchAll(PHRASE)) start = match.index + match[0].length;
  if (start === undefined) return undefined;
  const rest = text.slice(start).replace(/^[\s*_:]+(?=\S)/, "");
  const formula = /^(?:therefore |indeed )?(\$\$[^$]+\$\$|\$[^$]+\$|\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\])/.exec(rest);
  if (formula) return withoutDelimiters(formula[1]!);
  const line = rest.split("\n", 1)[0]!;
  const sentence = /^[\s\S]*?(?=[.。](?:\s|$)|$)/
    .exec(line)![0]
    .replace(/[*_]+$/, "")
    .trim();
  return sentence === "" ? undefined : sentence;
}

function lastFormula(text: string): string | undefined {
  let found: string | undefined;
  for (const match of text.matchAll(/\$\$[^$]+\$\$|\$[^$\n]+\$|\\\([^\n]*?\\\)|\\\[[^$]*?\\\]/g)) found = match[0];
  return found === undefined ? undefined : withoutDelimiters(found);
}

function withoutDelimiters(formula: string): string {
  return formula.replace(/^(?:\$\$?|\\[([])|(?:\$\$?|\\[)\]])$/g, "").trim();
}

function numbersOf(text: string): readonly string[] {
  const pattern = /[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?\/\s?\d+)?%?/g;
  return [...text.matchAll(pattern)].map(([number]) => number);
}
