/**
 * Where the final answer of a completion stands. What comes after the last `</think>` counts, and nothing before it; where
 * the thinking is opened and never closed, only an `<answer>` does. There it is the last `<answer>…</answer>` or
 * `\boxed{…}` (several boxes in a row in one paragraph are a list), whichever begins later (in an `<answer>`, the box in
 * it); else the line after `####` (GSM8K); else what "the answer is" says; else what the last line sets in bold type; else
 * the last formula between dollar signs; else the last number.
 *
 * Every search is a scan from the end or a single pass: a completion of a million brackets takes milliseconds.
 */

import { closesThinking, endsInsideThink, summaryOf } from "../expression/answer.ts";

/** A final answer's text, and how it was found. */
export interface Extracted {
  readonly text: string;
  readonly from: "answer" | "boxed" | "####" | "phrase" | "formula" | "number";
}

const ANSWER_OPEN = "<answer>";
const ANSWER_CLOSE = "</answer>";
/** Only the end of what is not marked is looked through. */
const TAIL_CHARACTERS = 4000;

/** Where a chat template ends the turn: what a model writes after it is another turn. */
const TURN_END = /<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id)\|>|<｜end▁of▁sentence｜>/;

/** The part of a completion that may hold the answer. */
export function finalPart(prompt: string, whole: string): { readonly text: string; readonly closed: boolean } {
  const completion = whole.split(TURN_END, 1)[0]!;
  if (closesThinking(completion)) return { text: summaryOf(completion), closed: true };
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
  /(?:\b(?:is|are|equals?|be|to|gives?|get)|[=:])\s+(-?\$?\d[\d,]*(?:\.\d+)?(?:[/:]\d+)*%?(?:\s[A-Za-z]{1,20})?)\s*\.?$/;

/** What a sentence ends in: for answers that are no formula as a whole. */
export function answerInSentence(sentence: string): string | undefined {
  return afterPhrase(sentence) ?? SENTENCE_END.exec(sentence)?.[1] ?? lastFormula(sentence) ?? onlyNumber(sentence);
}

/** Words that make a number in a sentence something else than its statement. */
const DENIES =
  /\b(?:not|no|never|or|nor|neither|but|than|least|most|between|except|about|around|over|under|above|below|near|close|if|an[y]|every|wrong|incorrect|un\w+|other|either|maybe|perhaps|possibly)\b|n't|[^\p{ASCII}]/iu;

/** `Jane started 3 hours ago`: the one number of a sentence that neither denies nor doubts. */
function onlyNumber(sentence: string): string | undefined {
  if (DENIES.test(sentence) || !/^[A-Z][A-Za-z]*\s[A-Za-z\d\s.,$%'*-]+$/.test(sentence)) return undefined;
  const numbers = numbersOf(sentence);
  return numbers.length === 1 ? numbers[0] : undefined;
}

function lastTagged(text: string): { readonly text: string; readonly end: number } | undefined {
  const close = text.lastIndexOf(ANSWER_CLOSE);
  if (close < 0) return undefined;
  const open = text.lastIndexOf(ANSWER_OPEN, close);
  return open < 0 ? undefined : { text: text.slice(open + ANSWER_OPEN.length, close), end: close };
}

interface Box {
  readonly text: string;
  /** The last item, where several boxes are one answer. */
  readonly last?: string;
  readonly start: number;
  readonly end: number;
}

/** The last box whose braces close, with those right before it; one inside another belongs to the outer one. */
function lastBoxed(text: string): Box | undefined {
  const pattern = /\\(?:boxed|fbox|framebox)\s*/g;
  let found: Box | undefined;
  // Where each brace closes, found once for all boxes.
  const closing = closingBraces(text, pattern.test(text));
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const start = pattern.lastIndex;
    if (text[start] !== "{") {
      const word = /^(-?[A-Za-z0-9.]+)/.exec(text.slice(start, start + 40));
      if (word) found = { text: word[1]!, start: match.index, end: start + word[1]!.length };
      continue;
    }
    const end = closing.get(start);
    if (end === undefined) continue;
    const box: Box = { text: withoutBox(text.slice(start + 1, end)), start: match.index, end: end + 1 };
    found = found && standTogether(text.slice(found.end, box.start)) ? listed(found, box) : box;
    pattern.lastIndex = end;
  }
  return found;
}

/** Whether two boxes are one answer: between them only spaces, commas, `and`, `or`, `x =`. */
function standTogether(between: string): boolean {
  if (between.length > 60 || /\n\s*\n/.test(between)) return false;
  const bare = between.replace(/\\(?:text|mathrm)\s*\{([^{}]*)\}|\\q?quad(?![A-Za-z])|\\[,;:!()[\] ]/g, " $1 ");
  return /^[\s$,;&]*(?:(?:and|or|和|或)[\s$,;]*)?(?:[A-Za-z](?:_\{?\d\}?)?\s*=\s*)?$/.test(bare);
}

function listed(first: Box, second: Box): Box {
  const isRepeated = first.last === second.text || first.text === second.text;
  if (isRepeated || first.text.length > TAIL_CHARACTERS)
    return { ...second, text: isRepeated ? first.text : second.text };
  return { text: `${first.text}, ${second.text}`, last: second.text, start: first.start, end: second.end };
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
  const chosen = CHOSEN.exec(tail);
  if (chosen) return { text: chosen[1]!, from: "phrase" };
  const bold = boldAtEnd(tail);
  if (bold !== undefined) return { text: bold, from: "phrase" };
  const formula = lastFormula(tail);
  if (formula !== undefined) return { text: formula, from: "formula" };
  const number = numbersOf(tail).at(-1);
  const line = lastLine(tail);
  if (isEquation(line)) return { text: line, from: "formula" };
  const alone = ALONE.exec(text.trim());
  if (alone) return { text: alone[1]!, from: "answer" };
  const word = number === undefined ? /\*\*([A-Za-z][A-Za-z\s-]{0,40})\*\*[\s.!]*$/.exec(line)?.[1] : undefined;
  if (word !== undefined) return { text: word, from: "phrase" };
  if (number === undefined || (ALTERNATIVES.test(tail.slice(-200)) && !OR_PERCENT.test(tail))) return undefined;
  return { text: number, from: "number" };
}

/** `故选：C`: the choice of a Chinese solution, at its end. */
const CHOSEN = /(?:故选|应选|选择|选)(?:项)?\s*[:：]?\s*([A-J]+)\s*[.．。]?\s*$/;

function lastLine(text: string): string {
  const whole = text.trim();
  return whole.slice(whole.lastIndexOf("\n") + 1).trim();
}

/** `f'(x) = 2x + 3` on a line of its own, without words. */
function isEquation(line: string): boolean {
  return (
    /^[A-Za-z][A-Za-z\d'_(),^{}\\]{0,20} ?= ?[^=]{1,200}$/.test(line) &&
    !/(?<![\\A-Za-z])(?!sqrt)[A-Za-z]{4}/.test(line)
  );
}

/** What the last line sets in bold type, if that is its end: "The expanded form is **x + 1**." */
function boldAtEnd(text: string): string | undefined {
  const bold = /^[^*]*\*\*([^*:：]{1,200})\*\*[\s.。!]*$/.exec(lastLine(text))?.[1];
  return bold === undefined || !/[\d=^√π\\]/.test(bold) ? undefined : withoutDelimiters(bold.trim());
}

/** A text that is nothing but an answer without digits: "Yes.", "(B)", "There is no solution." */
const ALONE =
  /^(\(?[A-J]\)?|yes|no|true|false|(?:there (?:is|are) )?(?:no (?:real )?(?:solutions?|roots)|infinitely many(?: solutions)?))[.!]?$/i;

/** "41 or 42": no answer. "3/20, or 15 %": one. */
const OR_PERCENT = /\d, or [\d.]+\s?%\s?[.!]?$/;
const ALTERNATIVES = /\d[^\s\d]{0,3}\s+(?:or|oder|ou|或)(?:\s+[a-z]+){0,2}\s+[-−$]*\d[\d.,]*[^\d]*$/i;

const PHRASE =
  /\b(?:(?:answer|result|solution|root)s?|(?:correct|right) (?:option|choice))(?: to [^.\n:]{1,80})?(?:\s+(?:is|are|equals|would be|will be|must be)\b:?|\s*[:=])|答案(?:应该|应)?(?:是|为|选)?\s*[:：]?/gi;

/** What the last "the answer is" says, up to the end of its sentence. */
function afterPhrase(text: string): string | undefined {
  let start: number | undefined;
  for (const match of text.matchAll(PHRASE)) start = match.index + match[0].length;
  if (start === undefined) return undefined;
  const rest = text.slice(start).replace(/^[\s*_:：]+(?=\S)/, "");
  const formulas = leadingFormulas(rest.replace(/^(?:therefore|indeed) /, ""));
  if (formulas !== undefined) return formulas;
  const line = rest.split("\n", 1)[0]!;
  const sentence = /^[\s\S]*?(?=[.。](?:\s|$)|$)/
    .exec(line)![0]
    .replace(/[*_]+$/, "")
    .trim();
  return sentence === "" ? undefined : withoutRemark(sentence);
}

/** "2 (two)", "2, not 3", "2, because …": what stands before the remark. */
function withoutRemark(sentence: string): string {
  const bare = sentence
    .replace(/\s+\([a-z][a-z\s-]{0,60}\)[.!]?$/, "")
    .replace(/(?:,|;|\s[-–—])?\s+(?:because|since|as|which|where|so that|not|rather than|instead of)\s[\s\S]*$/, "")
    .trim();
  return bare === "" ? sentence : bare;
}

/** The formula that a text begins with, and those that `and`, `or` or a comma join to it, as a list. */
function leadingFormulas(text: string): string | undefined {
  const formula = /(\$\$[^$]+\$\$|\$[^$]+\$|\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\])/y;
  const joint = /\s*(?:,\s*(?:and|or)?|and|or|和|或|、)\s*/y;
  const parts: string[] = [];
  for (let at = 0; parts.length < 20; ) {
    formula.lastIndex = at;
    const found = formula.exec(text);
    if (!found) {
      // "$42$ or 43": what comes after the joint is a part of it too.
      const more =
        parts.length > 0 && /(?:and|or|或|和)\s*$/.test(text.slice(0, at)) && /^[-−\d]+/.exec(text.slice(at, at + 40));
      if (more) parts.push(more[0]);
      break;
    }
    parts.push(withoutDelimiters(found[0]));
    joint.lastIndex = formula.lastIndex;
    if (!joint.test(text)) break;
    at = joint.lastIndex;
  }
  return parts.length === 0 ? undefined : parts.join(", ");
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
