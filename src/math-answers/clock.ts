/**
 * Times and dates: `3:30 p.m.`, `15:30`, `March 5`, `5 March 2024`. A time without a half of the day may mean either. `2:3`
 * is a ratio; `7:15` may be both, and is read as a ratio that a time can equal. The fraction 7/15 is no time.
 */

import { plainWords } from "./clean-text.ts";
import { type Answer, apply, wholeNode } from "./tree.ts";

const TIME = /^(\d{1,2})\s*:\s*([0-5]\d)\s*(?:\\text\s*\{\s*([ap])m\s*\})?$/;
const CLOCK = /^clock (\d+)( \?)?$/;
const HALF_DAY = 720;
/** From 13 o'clock on it is clear which half of the day is meant. */
const MINUTES_OF_ONE_PM = 780;

/** A time of day in a cleaned text; undefined where it is none, or could be a ratio in lowest terms. */
export function readClock(cleaned: string): Answer | undefined {
  const [, hours, minutes, half] = TIME.exec(cleaned) ?? [];
  if (hours === undefined || Number(hours) > 24) return undefined;
  const [h, m] = [Number(hours), Number(minutes)];
  if (half !== undefined) return { kind: "text", text: `clock ${((h % 12) + (half === "p" ? 12 : 0)) * 60 + m}` };
  return divisor(h, m) === 1 && !minutes!.startsWith("0")
    ? undefined
    : { kind: "text", text: clockText(h * 60 + m), isRatio: true };
}

/** A ratio that could be a time, with what time that is. */
export function withTime(answer: Answer, cleaned: string): Answer {
  const [, hours, minutes] = TIME.exec(cleaned) ?? [];
  if (answer.kind !== "expression" || hours === undefined || Number(hours) > 24) return answer;
  return { ...answer, minutes: Number(hours) * 60 + Number(minutes) };
}

const MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?";
const DAY_FIRST = new RegExp(`^(\\d{1,2}) (?:of )?${MONTH}(?: (\\d{4}))?$`);
const MONTH_FIRST = new RegExp(`^${MONTH} (\\d{1,2})(?: (\\d{4}))?$`);

/** A day of the year in a cleaned text, in one spelling; undefined where it is none. */
export function readDate(cleaned: string): Answer | undefined {
  if (cleaned.length > 100) return undefined;
  const words = plainWords(cleaned).replace(/,/g, " ").replace(/\s+/g, " ");
  const [, day, month, year] = DAY_FIRST.exec(words) ?? [];
  const [, otherMonth, otherDay, otherYear] = MONTH_FIRST.exec(words) ?? [];
  if (day === undefined && otherDay === undefined) return undefined;
  return { kind: "text", text: `${month ?? otherMonth} ${Number(day ?? otherDay)} ${year ?? otherYear ?? ""}`.trim() };
}

/** Whether an answer is a day of the year. */
export const isDate = (answer: Answer): boolean =>
  answer.kind === "text" && /^(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) \d/.test(answer.text);

const clockText = (minutes: number): string => `clock ${minutes}${minutes < MINUTES_OF_ONE_PM ? " ?" : ""}`;

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}

/** A time that was written like a ratio in no lowest terms, as that ratio: 14:18 is 7:9. */
export function ratioOfClock(answer: Answer): Answer | undefined {
  const minutes = answer.kind === "text" && answer.isRatio ? CLOCK.exec(answer.text)?.[1] : undefined;
  if (minutes === undefined || Number(minutes) % 60 === 0) return undefined;
  const [h, m] = [Math.floor(Number(minutes) / 60), Number(minutes) % 60];
  return { kind: "expression", node: apply("divide", wholeNode(h), wholeNode(m)), isRatio: true };
}

/** Whether two answers are the same time of day; undefined where neither or only one can be one. */
export function sameTime(gold: Answer, answer: Answer): boolean | undefined {
  const [g, a] = [timeOf(gold), timeOf(answer)];
  if (!g || !a || (gold.kind !== "text" && answer.kind !== "text")) return undefined;
  return g.isOpen || a.isOpen ? g.minutes % HALF_DAY === a.minutes % HALF_DAY : g.minutes === a.minutes;
}

function timeOf(answer: Answer): { readonly minutes: number; readonly isOpen: boolean } | undefined {
  if (answer.kind === "text") {
    const [, minutes, open] = CLOCK.exec(answer.text) ?? [];
    return minutes === undefined ? undefined : { minutes: Number(minutes), isOpen: open !== undefined };
  }
  if (answer.kind !== "expression" || answer.minutes === undefined) return undefined;
  return { minutes: answer.minutes, isOpen: answer.minutes < MINUTES_OF_ONE_PM };
}
