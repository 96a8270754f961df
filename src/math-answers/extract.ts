/**
 * Where the final answer of a completion stands. What comes after the last `</think>` counts, and nothing before it; where
 * the thinking is opened and never closed, only an `<answer>` does. There it is the last `<answer>…</answer>` or
 * `\boxed{…}` (several boxes in a row in one paragraph are a list), whichever begins later (in an `<answer>`, the box in
 * it); else the line after `####` (GSM8K); else what the text says without a mark (`said.ts`). Where the last mark was begun
 * and is cut off there is no answer: the one before it was withdrawn. "The final answer is …" behind a box overrides it.
 *
 * Every search is a scan from the end or a single pass: a completion of a million brackets takes milliseconds.
 */

import { closesThinking, endsInsideThink, summaryOf } from "../expression/answer.ts";
import { type Boxes, boxesIn, lastLineMark, lastTagged, type Marked, openTagAt } from "./marked.ts";
import { fromProse, leadingFormulas } from "./said.ts";

/** A final answer's text, and how it was found. */
export interface Extracted {
  readonly text: string;
  readonly from: "answer" | "boxed" | "####" | "phrase" | "formula" | "number";
  /** The letter that the text calls correct, where it says a value too. */
  readonly choice?: string;
}

/** Only the end of what is not marked is looked through. */
const TAIL_CHARACTERS = 4000;

/** Where a chat template ends the turn: what a model writes after it is another turn. */
const TURN_END = /<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id)\|>|<｜end▁of▁sentence｜>/;

/** The part of a completion that may hold the answer. */
function finalPart(prompt: string, whole: string): { readonly text: string; readonly closed: boolean } {
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
  const boxes = boxesIn(text);
  if (isCutOff(text, tagged, boxes)) return undefined;
  const boxed = boxes.last;
  if (tagged && (!boxed || boxed.start < tagged.end)) return fromTagged(tagged.text);
  if (boxed) return finallySaid(text.slice(boxed.end)) ?? { text: boxed.text, from: "boxed" };
  const line = lastLineMark(text);
  if (line !== undefined) return { text: line, from: "####" };
  // A tag that the end of the text did not close, with a whole answer in it.
  const open = openTagAt(text);
  return fromProse(open === undefined ? text : text.slice(open + "<answer>".length));
}

/** Whether the last answer was begun and not ended: what it would have been is not known, and one before it is withdrawn. */
function isCutOff(text: string, tagged: Marked | undefined, { last, cutAt }: Boxes): boolean {
  const closed = Math.max(tagged?.end ?? -1, last?.start ?? -1);
  if (cutAt !== undefined && cutAt > closed) return true;
  return closed >= 0 && (openTagAt(text) ?? -1) > closed;
}

/** "\\boxed{5} … Final Answer: The final answer is 6.": another answer than that of the box. */
function finallySaid(rest: string): Extracted | undefined {
  const said = /\bfinal answer is:?\s+([\s\S]*)$/i.exec(rest.slice(0, TAIL_CHARACTERS))?.[1];
  if (said === undefined) return undefined;
  const text = leadingFormulas(said) ?? /^-?\$?\d[\d,]*(?:\.\d+)?(?=[.\s]|$)/.exec(said)?.[0];
  return text === undefined ? undefined : { text, from: "phrase" };
}

function fromTagged(content: string): Extracted {
  const boxed = boxesIn(content).last;
  return { text: boxed ? boxed.text : content.trim(), from: "answer" };
}
