/** What is printed when a run is over: before against after, and one problem in both versions. */

import { completionLines } from "../inspect/completion-lines.ts";
import {
  answerPairs,
  comparisonRows,
  evaluationsOf,
  type StateEvaluations,
  tellingPair,
} from "../report/comparison.ts";
import type { EvaluatedCompletionRecord } from "../run/records.ts";
import type { RunSnapshot } from "../run/run-reader.ts";
import { printable, type Style } from "./terminal-style.ts";

/** Lines of a completion that are printed; a trace can have hundreds. */
const MAX_LINES = 14;

/** The end of a complete run as text. */
export function resultsText(run: RunSnapshot, style: Style): string {
  const { before, after } = run.summary!;
  const states = [before, after].flatMap((state) => evaluationsOf(run, state) ?? []);
  if (states.length < 2) return "";
  const titles = [`before (${before.moment})`, `after (${after.moment})`];
  return [...table(states, titles, style), "", ...oneProblem(states, style)].join("\n");
}

function table(states: readonly StateEvaluations[], titles: readonly string[], style: Style): string[] {
  const problems = states[0]!.sampled.completions.length;
  const rows = comparisonRows(states).map(({ label, cells }) => [
    label,
    ...cells.map(({ value, interval }) => (interval ? `${value} (${interval})` : value)),
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...[["", ...titles], ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join("   ")}`.trimEnd();
  return [
    "accuracy" in states[0]!.sampled.statistics
      ? `On ${problems} pairs that it never trained on (in brackets: 95 % interval):`
      : `On ${problems} problems that it never trained on, sampled at temperature 1 (in brackets: 95 % interval):`,
    "",
    style.dim(line(["", ...titles])),
    ...rows.map((row, i) => (i === 0 ? style.bold(line(row)) : line(row))),
  ];
}

function oneProblem(states: readonly StateEvaluations[], style: Style): string[] {
  const pair = tellingPair(answerPairs(states[0]!.sampled, states[1]!.sampled));
  if (pair === undefined) return ["No held-out problem was solved after that was not solved before."];
  const prompt = printable(pair.before.prompt.replace(/<think>\s*$/, "").trim());
  return [
    "One of these problems, before and after:",
    "",
    `  ${prompt}`,
    "",
    `  ${style.bold("before")}  ${style.bad("✗ wrong")}`,
    ...answer(pair.before, style),
    "",
    `  ${style.bold("after")}   ${style.good("✓ right")}`,
    ...answer(pair.after, style),
  ];
}

function answer({ completion, solved }: EvaluatedCompletionRecord, style: Style): string[] {
  const lines = completionLines(completion).map(({ text, kind }) => {
    const line = `    ${kind === "answer" ? "answer: " : ""}${printable(text)}`;
    if (kind !== "hit") return line;
    return solved ? style.good(line) : style.bad(line);
  });
  if (lines.length <= MAX_LINES) return lines;
  const head = lines.slice(0, MAX_LINES / 2);
  const tail = lines.slice(-MAX_LINES / 2);
  return [...head, style.dim(`    … ${lines.length - MAX_LINES} more lines …`), ...tail];
}
