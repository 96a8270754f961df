/**
 * Statistics of judged completions, with their confidence intervals. Every statistic but the extremes is a ratio of two
 * sums over problems, so that each gets an interval of the same kind (`interval.ts`) and two policies can be compared
 * problem by problem (`compare.ts`).
 */

import { sumOf } from "../statistics.ts";
import type { StatisticKind, Verdict } from "../tasks/task.ts";
import { type Cluster, meanInterval, ratioOf, shareInterval } from "./interval.ts";
import { majorityAnswer } from "./majority-vote.ts";
import { passAtK, reportedKs } from "./pass-at-k.ts";
import { reflectionWords } from "./reflection.ts";

/** A completion as far as statistics read it. */
export interface CompletionWithVerdict {
  readonly text: string;
  readonly lengthTokens: number;
  readonly finishReason: "stop" | "length";
  readonly verdict: Verdict;
}

/** Statistics by name, and of those that have one their 95 % interval and what each problem adds to them. */
export interface Statistics {
  readonly values: Readonly<Record<string, number>>;
  readonly intervals: Readonly<Record<string, [number, number]>>;
  /** By statistic, then by problem in order. */
  readonly clusters: Readonly<Record<string, readonly Cluster[]>>;
}

/** What a group of completions of one problem adds to a statistic. */
interface Measure {
  readonly name: string;
  readonly kind: StatisticKind;
  readonly of: (group: readonly CompletionWithVerdict[]) => Cluster;
}

const INTERVAL_OF: Readonly<Record<StatisticKind, (clusters: readonly Cluster[]) => [number, number] | undefined>> = {
  share: shareInterval,
  amount: (clusters) => {
    const interval = meanInterval(clusters);
    return interval && [Math.max(0, interval[0]), interval[1]];
  },
  number: meanInterval,
};

/**
 * The statistics of `groups`, one for each problem, of equally many completions:
 *
 * - solveRate, formatRate, truncatedRate (cut at the length limit): shares of completions; no solveRate, nor what follows
 *   from it, where no completion can be judged
 * - passAtK for each of `passAt` (2, 4, 8, … by default), where there are several completions of a problem
 * - majorityRate: share of problems whose most frequent answer is right (maj@k, k = completions of a problem)
 * - meanLength, minLength, maxLength, and the same of completions that ended by themselves (…TerminatedLength), in tokens
 * - tries: per completion, of tasks that have tries; solvedPerTry: solved completions / all tries
 * - reflectionWords per completion that thinks; reflectionRate: share of those with any
 * - the task's own, by their names
 *
 * `kinds` says what the task's own are (a count that happens to be 0 or 1 everywhere is still no share). A statistic
 * without any values is absent.
 */
export function statisticsOf(
  groups: readonly (readonly CompletionWithVerdict[])[],
  passAt?: readonly number[] | undefined,
  kinds: Readonly<Record<string, StatisticKind>> = {},
): Statistics {
  const values: Record<string, number> = {};
  const intervals: Record<string, [number, number]> = {};
  const clusters: Record<string, readonly Cluster[]> = {};
  for (const { name, kind, of } of measures(groups, passAt, kinds)) {
    const own = groups.map(of);
    const value = ratioOf(own);
    if (value === undefined) continue;
    values[name] = value;
    clusters[name] = own;
    const interval = INTERVAL_OF[kind](own);
    if (interval !== undefined) intervals[name] = interval;
  }
  const all = groups.flat();
  const ended = all.filter(({ finishReason }) => finishReason === "stop");
  return {
    values: { ...values, ...extremes("Length", all), ...extremes("TerminatedLength", ended) },
    intervals,
    clusters,
  };
}

function measures(
  groups: readonly (readonly CompletionWithVerdict[])[],
  passAt: readonly number[] | undefined,
  kinds: Readonly<Record<string, StatisticKind>>,
): Measure[] {
  const samples = groups[0]?.length ?? 0;
  const verdicts = groups.flat().map(({ verdict }) => verdict);
  const ofTask = new Set(verdicts.flatMap(({ statistics }) => Object.keys(statistics)));
  const ended = ({ finishReason, lengthTokens }: CompletionWithVerdict) =>
    finishReason === "stop" ? lengthTokens : undefined;
  const canBeSolved = verdicts.some(({ isUnjudged }) => !isUnjudged);
  if (!canBeSolved) ofTask.delete("judged");
  const ofThinking = (value: (text: string) => number) =>
    overCompletions(({ text, verdict }) => (verdict.answersOutright ? undefined : value(text)));
  const solving: Measure[] = [
    { name: "solveRate", kind: "share", of: overCompletions(({ verdict }) => Number(verdict.solved)) },
    ...(samples > 1 ? severalSamples(samples, passAt ?? reportedKs(samples), verdicts) : []),
  ];
  return [
    ...(canBeSolved ? solving : []),
    { name: "formatRate", kind: "share", of: overCompletions(({ verdict }) => Number(verdict.wellFormed)) },
    { name: "truncatedRate", kind: "share", of: overCompletions((one) => Number(one.finishReason === "length")) },
    { name: "meanLength", kind: "amount", of: overCompletions(({ lengthTokens }) => lengthTokens) },
    { name: "meanTerminatedLength", kind: "amount", of: overCompletions(ended) },
    { name: "tries", kind: "amount", of: overCompletions(({ verdict }) => verdict.tries) },
    {
      name: "solvedPerTry",
      kind: "amount",
      of: (group) => {
        const tried = group.filter(({ verdict }) => verdict.tries !== undefined);
        return {
          sum: sumOf(tried.map(({ verdict }) => Number(verdict.solved))),
          count: sumOf(tried.map(({ verdict }) => verdict.tries!)),
        };
      },
    },
    { name: "reflectionWords", kind: "amount", of: ofThinking(countOfReflection) },
    { name: "reflectionRate", kind: "share", of: ofThinking((text) => Number(countOfReflection(text) > 0)) },
    // A completion that lacks a statistic (a share of nothing) does not count in it.
    ...[...ofTask].map((name): Measure => {
      const own = verdicts.map(({ statistics }) => statistics[name]).filter((value) => value !== undefined);
      return {
        name,
        kind: kinds[name] ?? narrowestKind(own),
        of: overCompletions(({ verdict }) => verdict.statistics[name]),
      };
    }),
  ];
}

/** For statistics that the task says nothing about. */
function narrowestKind(values: readonly number[]): StatisticKind {
  if (values.some((value) => value < 0)) return "number";
  return values.some((value) => value > 1) ? "amount" : "share";
}

/** What only several samples of a problem can tell. */
function severalSamples(samples: number, passAt: readonly number[], verdicts: readonly Verdict[]): Measure[] {
  const solved = (group: readonly CompletionWithVerdict[]) => group.filter(({ verdict }) => verdict.solved).length;
  const measures = passAt.map((k): Measure => {
    return {
      name: `passAt${k}`,
      kind: "share",
      of: (group) => ({ sum: passAtK(samples, solved(group), k), count: 1 }),
    };
  });
  if (verdicts.every(({ answer }) => answer === undefined)) return measures;
  return [
    ...measures,
    { name: "majorityRate", kind: "share", of: (group) => ({ sum: Number(majorityIsRight(group)), count: 1 }) },
  ];
}

function majorityIsRight(group: readonly CompletionWithVerdict[]): boolean {
  const winner = majorityAnswer(group.map(({ verdict }) => verdict.answer ?? null));
  return winner !== null && group.some(({ verdict }) => verdict.answer === winner && verdict.solved);
}

/** A mean over completions; those of which `value` is undefined do not count. */
function overCompletions(value: (completion: CompletionWithVerdict) => number | undefined): Measure["of"] {
  return (group) => {
    const values = group.map(value).filter((one) => one !== undefined);
    return { sum: sumOf(values), count: values.length };
  };
}

function extremes(name: string, completions: readonly CompletionWithVerdict[]): Record<string, number> {
  if (completions.length === 0) return {};
  const lengths = completions.map(({ lengthTokens }) => lengthTokens);
  return {
    [`min${name}`]: lengths.reduce((least, length) => Math.min(least, length)),
    [`max${name}`]: lengths.reduce((most, length) => Math.max(most, length)),
  };
}

function countOfReflection(text: string): number {
  return sumOf([...reflectionWords(text).values()]);
}
