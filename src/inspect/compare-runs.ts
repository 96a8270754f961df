/**
 * Two to six runs side by side: where their recipes differ, key by key, and how they answered the held-out problems after
 * their last evaluation, with the paired tests of `aha eval --compare` against the first run.
 */

import { type Comparison, compareEvaluations } from "../eval/compare.ts";
import type { Evaluation } from "../eval/evaluate.ts";
import type { Cluster } from "../eval/interval.ts";
import { valueAt } from "../named-paths.ts";
import { differencesOf } from "../run/recipe-differences.ts";
import type { EvaluatedCompletionRecord, EvaluationRecord } from "../run/records.ts";
import type { LiveRun } from "./live-run.ts";
import { type RunCard, runCard } from "./run-answers.ts";
import { recipeFacts, type StageFacts } from "./run-facts.ts";

/** Problems that are shown side by side. */
const MAX_PROBLEMS = 400;
/** Characters of an answer in the comparison. */
const MAX_ANSWER = 20_000;

/** A key at which the recipes differ, and its value in each run. */
export interface ComparedKey {
  readonly key: string;
  /** As JSON; undefined: the run's recipe does not have it. */
  readonly values: readonly (string | undefined)[];
}

/** A held-out problem, and each run's first answer. */
export interface ComparedProblem {
  readonly prompt: string;
  readonly answers: readonly (Pick<EvaluatedCompletionRecord, "completion" | "solved" | "lengthTokens"> | undefined)[];
}

/** What was measured last of one run. */
export interface ComparedEvaluation {
  readonly stage: string;
  readonly step: number;
  readonly statistics: Readonly<Record<string, number | null>>;
  readonly intervals: Readonly<Record<string, readonly [number | null, number | null]>>;
}

export interface RunComparison {
  readonly runs: readonly {
    readonly card: RunCard;
    readonly stages: readonly StageFacts[];
    readonly metrics: Readonly<Record<string, readonly string[]>>;
    readonly last: ComparedEvaluation | undefined;
  }[];
  readonly differences: readonly ComparedKey[];
  /** Of each run after the first against it; undefined where they did not answer the same problems. */
  readonly tests: readonly (Comparison | undefined)[];
  /** Why tests are missing. */
  readonly untested: string | undefined;
  readonly problems: readonly ComparedProblem[];
}

/** Throws RunDirError where a recipe cannot be read. */
export async function compareRuns(
  runs: readonly { readonly id: string; readonly live: LiveRun }[],
): Promise<RunComparison> {
  const last: (EvaluationRecord | undefined)[] = [];
  for (const { live } of runs) last.push(await lastEvaluation(live));
  const first = last[0];
  const tests = last.slice(1).map((other) => {
    return first && other && haveSameProblems(first, other) ? compareRecords(first, other) : undefined;
  });
  return {
    runs: runs.map(({ id, live }, i) => ({
      card: runCard(id, undefined, live),
      stages: recipeFacts(live).stages,
      metrics: Object.fromEntries(live.metrics.stageNames.map((stage) => [stage, live.metrics.names(stage)])),
      last: last[i] && headOf(last[i]),
    })),
    differences: recipeDifferences(runs.map(({ live }) => live.recipe())),
    tests,
    untested: tests.every((test) => test !== undefined) ? undefined : whyUntested(last),
    problems: sideBySide(last),
  };
}

async function lastEvaluation(live: LiveRun): Promise<EvaluationRecord | undefined> {
  const head = live.evaluations.findLast(({ decoding }) => decoding === "sampled");
  return head && live.evaluation(head.index);
}

function headOf({ stage, step, statistics, intervals }: EvaluationRecord): ComparedEvaluation {
  return { stage, step, statistics, intervals };
}

function haveSameProblems(first: EvaluationRecord, second: EvaluationRecord): boolean {
  const [a, b] = [first.completions, second.completions];
  const same = (one: EvaluatedCompletionRecord, i: number) =>
    b[i]?.problemId === one.problemId && b[i].sample === one.sample && b[i].prompt === one.prompt;
  return a.length === b.length && a.length > 0 && a.every(same);
}

/** Paired differences of what every evaluation's answers say of themselves. */
function compareRecords(first: EvaluationRecord, second: EvaluationRecord): Comparison {
  return compareEvaluations(asEvaluation(first), asEvaluation(second), 0);
}

/** What one completion adds to each statistic that can be told from an answer that is stored. */
const MEASURED: Readonly<Record<string, (completion: EvaluatedCompletionRecord) => number | undefined>> = {
  solveRate: ({ solved }) => Number(solved),
  formatRate: ({ wellFormed }) => Number(wellFormed),
  truncatedRate: ({ finishReason }) => Number(finishReason === "length"),
  meanLength: ({ lengthTokens }) => lengthTokens,
  tries: ({ tries }) => tries ?? undefined,
};

function asEvaluation({ statistics, completions }: EvaluationRecord): Evaluation {
  const problems = [...byProblem(completions).values()];
  const clusters = Object.entries(MEASURED)
    .filter(([name]) => statistics[name] !== undefined)
    .map(([name, of]) => [name, problems.map((answers) => clusterOf(answers, of))] as const);
  return {
    statistics: {},
    intervals: {},
    clusters: Object.fromEntries(clusters),
    completions: completions as Evaluation["completions"],
  };
}

function byProblem(completions: readonly EvaluatedCompletionRecord[]): Map<number, EvaluatedCompletionRecord[]> {
  const groups = new Map<number, EvaluatedCompletionRecord[]>();
  for (const completion of completions) {
    const group = groups.get(completion.problemId);
    if (group === undefined) groups.set(completion.problemId, [completion]);
    else group.push(completion);
  }
  return groups;
}

function clusterOf(
  answers: readonly EvaluatedCompletionRecord[],
  of: (completion: EvaluatedCompletionRecord) => number | undefined,
): Cluster {
  const values = answers.flatMap((answer) => of(answer) ?? []);
  return { sum: values.reduce((total, value) => total + value, 0), count: values.length };
}

function whyUntested(last: readonly (EvaluationRecord | undefined)[]): string {
  if (last.some((record) => record === undefined))
    return "Not every run has been evaluated yet, so nothing can be tested.";
  return (
    "The runs were not asked the same held-out problems as the first one, so their answers cannot be compared in pairs. " +
    "aha eval DIR --compare DIR asks two models the same problems."
  );
}

function recipeDifferences(recipes: readonly unknown[]): ComparedKey[] {
  const [first, ...others] = recipes;
  const keys = new Map<string, readonly string[]>();
  for (const other of others) {
    for (const { path } of differencesOf(first, other)) keys.set(path.join("."), path);
  }
  return [...keys].map(([key, path]) => {
    const values = recipes.map((recipe) => valueAt(recipe, path));
    return { key, values: values.map((value) => (value === undefined ? undefined : JSON.stringify(value))) };
  });
}

/** Problems that every run with an evaluation answered, by their prompts: ids may mean something else in another run. */
function sideBySide(last: readonly (EvaluationRecord | undefined)[]): ComparedProblem[] {
  const answers = last.map((record) => {
    const firsts = (record?.completions ?? []).filter(({ sample }) => sample === 0);
    return new Map(firsts.map((completion) => [completion.prompt, completion]));
  });
  const evaluated = answers.filter(({ size }) => size > 0);
  if (evaluated.length < 2) return [];
  const prompts = [...evaluated[0]!.keys()].filter((prompt) => evaluated.every((one) => one.has(prompt)));
  return prompts.slice(0, MAX_PROBLEMS).map((prompt) => ({
    prompt,
    answers: answers.map((one) => {
      const answer = one.get(prompt);
      if (answer === undefined) return undefined;
      const { completion, solved, lengthTokens } = answer;
      return { completion: completion.slice(0, MAX_ANSWER), solved, lengthTokens };
    }),
  }));
}
