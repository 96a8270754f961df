/** Numbers, times and states as the page writes them. */

import type { RunState } from "../inspect/run-state.ts";
import { percent, plain } from "../number-text.ts";

/** What a state is called, and what it means. */
export const STATES: Readonly<Record<RunState, { readonly word: string; readonly meaning: string }>> = {
  running: { word: "running", meaning: "A process is training it now." },
  finished: { word: "finished", meaning: "It came to its end; its model is written." },
  interrupted: { word: "stopped", meaning: "It was stopped cleanly; aha run … --resume goes on." },
  diverged: { word: "diverged", meaning: "It gave up because its numbers were not finite any more." },
  ended: {
    word: "ended early",
    meaning: "Its process is gone without a word; aha run … --resume goes on from its last checkpoint.",
  },
  gone: { word: "gone", meaning: "Its directory was moved or deleted." },
};

/** A number of a share or of anything. */
export function valueText(value: number | null | undefined, isShare: boolean | undefined): string {
  return isShare ? percent(value) : plain(value);
}

/** A whole number, its digits in groups of three. */
export function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

/** With a sign. */
export function signed(value: number, isShare: boolean | undefined): string {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${valueText(Math.abs(value), isShare)}`;
}

/** `3 min ago`. */
export function ago(iso: string | undefined, now = Date.now()): string {
  if (iso === undefined) return "–";
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return `${days} day${days === 1 ? "" : "s"} ago`;
}

/** `12 s`, `4 min`, `1 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A statistic's name for people: `solveRate` as `solved`. */
export function statisticName(name: string): string {
  const known = KNOWN_STATISTICS[name];
  if (known !== undefined) return known;
  const k = /^passAt(\d+)$/.exec(name)?.[1];
  return k === undefined ? name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase() : `pass@${k}`;
}

const KNOWN_STATISTICS: Readonly<Record<string, string>> = {
  solveRate: "solved",
  formatRate: "well-formed",
  truncatedRate: "cut off",
  meanLength: "length",
  tries: "tries",
  majorityRate: "majority",
  accuracy: "ranked right",
};

/** Whether a statistic of an evaluation is a share. */
export function isShareStatistic(name: string): boolean {
  return /Rate$|^passAt|^accuracy$|^solvedPerTry$/.test(name);
}

/** A text on one line: tags of thinking and line feeds are in the way there. */
export function oneLine(text: string): string {
  return text
    .replace(/<think>\s*$/, "")
    .replace(/\s+/g, " ")
    .trim();
}
