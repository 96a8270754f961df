/**
 * Final answers that a text says without marking them: behind "the answer is", as the choice that is correct, in bold type
 * at the end, as the value that its last sentence claims.
 */

import { lastClaim } from "./claims.ts";
import { formulasIn } from "./formulas.ts";

/** An answer that a text says, and how. */
export interface Said {
  readonly text: string;
  readonly from: "phrase" | "formula" | "number";
  /** The letter that it calls correct, where it says a value too. */
  readonly choice?: string;
}

/** Only the end of a text is looked through. */
const TAIL_CHARACTERS = 4000;

/** The answer that a text without marks says last. */
export function fromProse(text: string): Said | undefined {
  const tail = text.slice(-TAIL_CHARACTERS);
  const said = afterPhrase(tail);
  if (said !== undefined) return { text: said, from: "phrase" };
  const chosen = CHOSEN.exec(tail);
  if (chosen) return { text: chosen[1]!, from: "phrase" };
  const bold = boldAtEnd(tail);
  if (bold !== undefined) return { text: bold, from: "phrase" };
  const alone = ALONE.exec(text.trim());
  if (alone) return { text: alone[1]!, from: "phrase" };
  const choice = chosenLetter(tail);
  const line = lastLine(tail);
  const claim = isEquation(line) ? ({ text: line, from: "formula" } as const) : lastClaim(withoutBold(tail));
  if (claim) return { text: claim.text, from: claim.from, ...(choice !== undefined && { choice }) };
  const word = choice ?? /\*\*([A-Za-z][A-Za-z\s-]{0,40})\*\*[\s.!]*$/.exec(line)?.[1];
  return word === undefined ? undefined : { text: word, from: "phrase" };
}

/** The text without the signs of bold type and code, and without GSM8K's `<<3*4=12>>`. */
const withoutBold = (text: string): string =>
  text
    .replace(/\*\*([^*\n]{1,200})\*\*/g, "$1")
    .replace(/<<[^<>\n]{1,80}>>/g, "")
    .replace(/`/g, "");

/** A number that the sentence ends with, perhaps a unit behind it. */
const SENTENCE_END =
  /(?:\b(?:is|are|equals?|be|to|gives?|get)|[=:])\s+(-?\$?\d[\d,]*(?:\.\d+)?(?:[/:]\d+)*%?(?:\s[A-Za-z]{1,20})?)\s*\.?$/;

/** What a sentence ends in: for answers that are no formula as a whole. */
export function answerInSentence(sentence: string): string | undefined {
  // "Tom: 5, Ann: 7" says two things.
  const isList = /\d[^,;]{0,40}[,;][^,;=:]{1,60}[=:]/.test(sentence);
  return afterPhrase(sentence) ?? (isList ? undefined : (SENTENCE_END.exec(sentence)?.[1] ?? claimed(sentence)));
}

/** `Jane started 3 hours ago`: the one value of a sentence, or its last formula. */
function claimed(sentence: string): string | undefined {
  const claim = lastClaim(sentence);
  if (claim?.from === "formula") return claim.text;
  return claim?.isOnly && IS_SENTENCE.test(sentence) && !HEDGES.test(sentence) ? claim.text : undefined;
}

const IS_SENTENCE = /^[A-Z][A-Za-z]*\s[A-Za-z\d\s.,$%'*-]+$/;
/** Words that make a number in a sentence something else than its statement. */
const HEDGES =
  /\b(?:no|or|least|most|about|around|if|an[y]|every|un\w+|other|either|maybe|perhaps|possibly)\b|[^\p{ASCII}]/iu;

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
  return bold === undefined || !/[\d=^√π\\]/.test(bold) ? undefined : (leadingFormulas(bold.trim()) ?? bold.trim());
}

/** A text that is nothing but an answer without digits: "Yes.", "(B)", "There is no solution." */
const ALONE =
  /^(\(?[A-J]\)?|yes|no|true|false|(?:there (?:is|are) )?(?:no (?:real )?(?:solutions?|roots)|infinitely many(?: solutions)?))[.!]?$/i;

const PHRASE =
  /\b(?:(?:answer|result|solution|root)s?|(?:correct|right) (?:option|choice))(?: to [^.\n:]{1,80})?(?:\s+(?:is|are|equals|would be|will be|must be)\b:?|\s*[:=])|答案(?:应该|应)?(?:是|为|选)?\s*[:：]?/gi;

/** What the last "the answer is" says, up to the end of its sentence. */
export function afterPhrase(text: string): string | undefined {
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
export function withoutRemark(sentence: string): string {
  const bare = sentence
    .replace(/\s+\([a-z][a-z\s-]{0,60}\)[.!]?$/, "")
    .replace(/(?:,|;|\s[-–—])?\s+(?:because|since|as|which|where|so that|not|rather than|instead of)\s[\s\S]*$/, "")
    .trim();
  return bare === "" ? sentence : bare;
}

/** The formula that a text begins with, and those that `and`, `or` or a comma join to it, as a list. */
export function leadingFormulas(text: string): string | undefined {
  const joint = /\s*(?:,\s*(?:and|or)?|and|or|和|或|、)\s*/y;
  const parts: string[] = [];
  let at = 0;
  for (const formula of formulasIn(text)) {
    if (formula.start !== at || parts.length === MOST_JOINED) break;
    parts.push(formula.text);
    joint.lastIndex = formula.end;
    if (!joint.test(text)) return parts.join(", ");
    at = joint.lastIndex;
  }
  // "$42$ or 43": what comes after the joint is a part of it too.
  const isJoined = parts.length > 0 && /(?:and|or|或|和)\s*$/.test(text.slice(0, at));
  const more = isJoined ? /^[-−\d]+/.exec(text.slice(at, at + 40)) : undefined;
  if (more) parts.push(more[0]);
  return parts.length === 0 ? undefined : parts.join(", ");
}

const MOST_JOINED = 20;

/** A letter that is called right: "Option B is correct", "B. Because A is not valid", "so I choose (C)." */
const CALLED_RIGHT =
  /(?<![\p{L}\d])(?:(?:option|choice|answer|statement)\s+)?\(?([A-J])\)?(?:\s*[:,][^.,:]{1,40},?)?\s+(?:is|must be|has to be)\s+(?:therefore |thus |indeed |clearly |obviously )?(?:the\s+)?(?:only\s+)?(?:correct|right|true|valid|best|answer|solution)(?![\p{L}])/giu;
const PICKED =
  /\b(?:(?:choose|pick|select|go with|answer with|option is|choice is|must be|it is|it['’]s|that is|answer)\s*:?\s+(?:option\s+|choice\s+|answer\s+)?|(?:so|thus|hence|therefore),?\s+(?:option\s+|choice\s+)?|^\s*(?:option|choice)\s+)(?:\(([A-J])\)|([A-J]))(?=\s*(?:[.!]\s*$|[.,;:]\s|$|because|since|as\b))/gimu;
const BEGINS_WITH = /^\s*(?:\(([A-J])\)[.:]?|([A-J])[.):])\s+(?!is\b)(?=\p{L})/u;

/** The letter of the choice that a text calls right or picks last. */
export function chosenLetter(text: string): string | undefined {
  let found: { readonly letter: string; readonly at: number } | undefined;
  for (const pattern of [CALLED_RIGHT, PICKED]) {
    for (const match of text.matchAll(pattern)) {
      const isDenied = /\b(?:not|nor|neither|n['’]t|or|and|whether|if|either)\s+(?:option\s+|choice\s+)?$/i.test(
        text.slice(Math.max(0, match.index - 30), match.index),
      );
      const letter = match[1] ?? match[2]!;
      if (!isDenied && (!found || match.index > found.at)) found = { letter, at: match.index };
    }
  }
  if (found) return found.letter;
  const begun = BEGINS_WITH.exec(text);
  return begun?.[1] ?? begun?.[2];
}

/** "The function is odd": the words that a sentence ends with, all of them. */
export function predicateOf(sentence: string): string | undefined {
  if (sentence.length > 300 || /^\s*(?:prove|show|find|determine|explain|let|suppose|assume)\b/i.test(sentence))
    return undefined;
  return /^[A-Za-z\s]{0,100}\s(?:is|are)\s+((?!not\b)[^,;]+?)[.!]?$/.exec(sentence.trim())?.[1];
}
