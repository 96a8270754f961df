/**
 * Before against after: the rows of the table, and problems whose two answers show best what changed. Used by the
 * report and by the end of a run on the terminal.
 */

import { decimal, percent, plain } from "../number-text.ts";
import type { EvaluatedCompletionRecord, EvaluationRecord } from "../run/records.ts";
import type { RunSnapshot } from "../run/run-reader.ts";
import type { EvaluatedState } from "../run/summary.ts";

/** The full evaluations of one state. */
export interface StateEvaluations {
  readonly sampled: EvaluationRecord;
  readonly greedy: EvaluationRecord | undefined;
}

/** The evaluations that a state of the summary stands for. */
export function evaluationsOf(run: RunSnapshot, state: EvaluatedState): StateEvaluations | undefined {
  const records = run.evaluations.filter(({ moment, stage }) =>
    state.afterStage === null ? moment === "before" : moment === "after" && stage === state.afterStage,
  );
  const sampled = records.find(({ decoding }) => decoding === "sampled");
  if (sampled === undefined) return undefined;
  return { sampled, greedy: records.find(({ decoding }) => decoding === "greedy") };
}

/** One line of the before/after table, its cells ready to print. */
export interface ComparisonRow {
  readonly label: string;
  /** What the number means, for people who see it for the first time. */
  readonly meaning: string;
  /** One cell per state. */
  readonly cells: readonly { readonly value: string; readonly interval: string | undefined }[];
}

interface StatisticLabel {
  readonly name: string;
  readonly label: string;
  readonly meaning: string;
  readonly format: (value: number | null | undefined) => string;
}

const STATISTICS: readonly StatisticLabel[] = [
  { name: "solveRate", label: "solved", meaning: "the answer is right by the task's own judge", format: percent },
  { name: "majorityRate", label: "majority", meaning: "the most frequent of its answers is right", format: percent },
  {
    name: "accuracy",
    label: "ranked right",
    meaning: "pairs whose preferred answer has the higher reward",
    format: percent,
  },
  { name: "margin", label: "margin", meaning: "how far the preferred answer is ahead", format: decimal },
  { name: "formatRate", label: "well-formed", meaning: "the answer has the form that was asked for", format: percent },
  { name: "tries", label: "tries", meaning: "attempts per problem while thinking", format: decimal },
  { name: "solvedPerTry", label: "solved per try", meaning: "how good a single guess is", format: percent },
  { name: "meanLength", label: "length", meaning: "tokens per answer, thinking included", format: plain },
  { name: "truncatedRate", label: "cut off", meaning: "answers that ran into the length limit", format: percent },
  {
    name: "gaveUp",
    label: "gave up",
    meaning: "a wrong answer that the thinking itself does not call right",
    format: percent,
  },
  { name: "falseYes", label: "false yes", meaning: "calls a try right, and is wrong", format: percent },
  {
    name: "arithmeticRight",
    label: "arithmetic right",
    meaning: "share of the tries that are calculated well",
    format: percent,
  },
  {
    name: "wrongNumbers",
    label: "wrong numbers",
    meaning: "share of the tries that do not use the given numbers",
    format: percent,
  },
  {
    name: "reflectionRate",
    label: "looks back",
    meaning: "answers that say “wait”, “let me check” or the like",
    format: percent,
  },
  { name: "distinctTries", label: "distinct tries", meaning: "different attempts per problem", format: decimal },
  {
    name: "repeatedTries",
    label: "repeated tries",
    meaning: "share of the tries that were made before",
    format: percent,
  },
];

/** Names that a general reader is not shown: they say nothing about these tasks, or are shown elsewhere. */
const UNLISTED = new Set([
  ...["reflectionWords", "minLength", "maxLength"],
  ...["meanTerminatedLength", "minTerminatedLength", "maxTerminatedLength"],
]);

/** The rows for these states, sampled answers first, then the solve rate of greedy ones. */
export function comparisonRows(states: readonly StateEvaluations[]): ComparisonRow[] {
  const known = STATISTICS.map(({ name }) => name);
  const names = new Set(states.flatMap(({ sampled }) => Object.keys(sampled.statistics)));
  const further = [...names].filter((name) => !known.includes(name) && !UNLISTED.has(name)).map(furtherStatistic);
  const rows = [...STATISTICS, ...further]
    .filter(({ name }) => names.has(name))
    .map(({ name, label, meaning, format }) => ({
      label,
      meaning,
      cells: states.map(({ sampled }) => cell(sampled, name, format)),
    }));
  if (!states.some(({ greedy }) => greedy?.statistics.solveRate !== undefined)) return rows;
  const greedy: ComparisonRow = {
    label: "solved, greedy",
    meaning: "the same without chance: always the most probable token",
    cells: states.map((state) => (state.greedy ? cell(state.greedy, "solveRate", percent) : NO_CELL)),
  };
  return [...rows, greedy];
}

const NO_CELL = { value: percent(undefined), interval: undefined };

function cell(record: EvaluationRecord, name: string, format: StatisticLabel["format"]) {
  const interval = record.intervals[name];
  return {
    value: format(record.statistics[name]),
    interval: interval ? `${format(interval[0])} to ${format(interval[1])}` : undefined,
  };
}

/** A statistic of the task: `falseYes` as `false yes`; shares and counts cannot be told apart, so it is a number. */
function furtherStatistic(name: string): StatisticLabel {
  const k = /^passAt(\d+)$/.exec(name)?.[1];
  if (k !== undefined) {
    return {
      name,
      label: `pass@${k}`,
      meaning: `a problem is solved by one of ${k} answers, estimated`,
      format: percent,
    };
  }
  const label = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return { name, label, meaning: "the task's own statistic, mean per answer", format: plain };
}

/** The same problem answered by two states. */
export interface AnswerPair {
  readonly before: EvaluatedCompletionRecord;
  readonly after: EvaluatedCompletionRecord;
  readonly change: "gained" | "kept" | "lost" | "missed";
}

/** Every problem that both evaluations have, in order, each problem's first answer. */
export function answerPairs(before: EvaluationRecord, after: EvaluationRecord): AnswerPair[] {
  const pairs: AnswerPair[] = [];
  for (const [index, first] of before.completions.entries()) {
    const second = after.completions[index];
    if (second === undefined || second.problemId !== first.problemId || first.sample !== 0) continue;
    const change = second.solved ? (first.solved ? "kept" : "gained") : first.solved ? "lost" : "missed";
    pairs.push({ before: first, after: second, change });
  }
  return pairs;
}

/** How many of each kind the report shows: most are gains, but losses and failures are not hidden. */
const SHOWN: Readonly<Record<AnswerPair["change"], number>> = { gained: 6, missed: 3, lost: 2, kept: 1 };

/** Problems for the report, each prompt once: some of each kind, gains with the longest searches first. */
export function pairsToShow(pairs: readonly AnswerPair[]): AnswerPair[] {
  const seen = new Set<string>();
  const distinct = pairs.filter(({ before }) => !seen.has(before.prompt) && seen.add(before.prompt));
  return (Object.keys(SHOWN) as AnswerPair["change"][]).flatMap((change) => {
    const ofKind = distinct.filter((pair) => pair.change === change);
    if (change === "gained") ofKind.sort((a, b) => searchGain(b) - searchGain(a));
    return ofKind.slice(0, SHOWN[change]);
  });
}

/** The one problem that shows the change best, where there is one: unsolved before, solved after a search. */
export function tellingPair(pairs: readonly AnswerPair[]): AnswerPair | undefined {
  const gained = pairs.filter(({ change }) => change === "gained");
  // Three to eight tries can be read at a glance; beyond that the shortest comes first.
  const readable = gained.filter(({ after }) => (after.tries ?? 0) >= 3 && (after.tries ?? 0) <= 8);
  const best = readable.sort((a, b) => searchGain(b) - searchGain(a))[0];
  return best ?? gained.sort((a, b) => a.after.lengthTokens - b.after.lengthTokens)[0];
}

/** How much longer the search became; at most 12, so that endless traces do not win. */
function searchGain({ before, after }: AnswerPair): number {
  return Math.min(12, (after.tries ?? 0) - (before.tries ?? 0));
}
