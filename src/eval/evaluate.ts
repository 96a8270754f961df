/**
 * Evaluation: the policy answers problems, and the task judges the answers, whatever rewards a trainer may use. A policy
 * that has learned to please a reward without solving the task is found out here.
 *
 * Draws depend on (seed, place of the problem in the list, sample), so two policies evaluated with one seed are compared
 * on the same luck.
 */

import type { Engine, SampleProgress } from "../engine/engine.ts";
import { hashString, philox } from "../random.ts";
import { mean } from "../rollout/advantages.ts";
import { type Completion, requirePromptsFit, sampleCompletions } from "../rollout/collect.ts";
import type { Problem, Task, Verdict } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { wilsonInterval } from "./interval.ts";
import { majorityAnswer } from "./majority-vote.ts";
import { passAtK, reportedKs } from "./pass-at-k.ts";
import { reflectionWords } from "./reflection.ts";

export interface EvaluationOptions {
  /** 0 is greedy. */
  readonly temperature: number;
  /** 1, off, by default. */
  readonly topP?: number;
  /** 0, off, by default. */
  readonly topK?: number;
  /** Completions per problem. */
  readonly samples: number;
  readonly maxCompletionTokens: number;
  readonly seed: number;
  readonly onProgress?: SampleProgress;
}

/** One completion, read and judged. */
export interface EvaluatedCompletion {
  readonly problemId: number;
  readonly sample: number;
  readonly prompt: string;
  readonly completion: string;
  readonly solved: boolean;
  readonly wellFormed: boolean;
  readonly tries: number;
  readonly finishReason: "stop" | "length";
  readonly lengthTokens: number;
}

export interface Evaluation {
  /**
   * Means over all completions: solveRate, formatRate, meanLength (tokens), tries, truncatedRate, reflectionWords, and
   * the task's own statistics by their names; solvedPerTry = solved completions / all tries (absent where nothing was
   * tried); with several samples also passAt2, passAt4, … and, where the task has comparable answers, majorityRate, the
   * share of problems whose most frequent answer is right.
   */
  readonly statistics: Readonly<Record<string, number>>;
  /**
   * 95 % Wilson intervals of solveRate and formatRate. Trials are problems: several samples of one problem are not
   * independent, so they narrow nothing.
   */
  readonly intervals: Readonly<Record<string, [number, number]>>;
  /** Ordered by problem, then sample. */
  readonly completions: readonly EvaluatedCompletion[];
}

/**
 * Lets the engine's policy answer `problems` and reports how it did.
 *
 * @throws ConfigError where a prompt and its longest completion do not fit into the context.
 */
export async function evaluate(
  engine: Engine,
  tokenizer: Tokenizer,
  task: Task,
  problems: readonly Problem[],
  options: EvaluationOptions,
): Promise<Evaluation> {
  const { temperature, topP = 1, topK = 0, samples, maxCompletionTokens } = options;
  const numbered = problems.map((problem, promptId) => ({ promptId, problem }));
  requirePromptsFit(engine, tokenizer, numbered, maxCompletionTokens);
  // A stream of its own: an evaluation draws other numbers than the training that has the same seed.
  const seed = philox(options.seed, hashString("evaluation"), [0])[0];
  const sampling = { temperature, topP, topK, maxCompletionTokens, seed, iteration: 0 };
  const completions = await sampleCompletions(engine, tokenizer, numbered, samples, sampling, options.onProgress);
  const verdicts = completions.map(({ problem, text }) => task.judge(problem, text));

  const statistics: Record<string, number> = {
    ...verdictStatistics(verdicts),
    meanLength: mean(completions.map(({ tokens }) => tokens.length)),
    truncatedRate: mean(completions.map(({ finishReason }) => Number(finishReason === "length"))),
    reflectionWords: mean(completions.map(({ text }) => sum([...reflectionWords(text).values()]))),
    ...(samples > 1 ? severalSamples(verdicts, samples) : {}),
  };
  return {
    statistics,
    intervals: {
      solveRate: wilsonInterval(statistics.solveRate!, problems.length),
      formatRate: wilsonInterval(statistics.formatRate!, problems.length),
    },
    completions: completions.map((completion, i) => evaluated(completion, verdicts[i]!)),
  };
}

/** Names of the statistics that an evaluation has whose completions got such verdicts, one sample for each problem. */
export function statisticNames(verdicts: readonly Verdict[]): string[] {
  return [...Object.keys(verdictStatistics(verdicts)), "meanLength", "truncatedRate", "reflectionWords"];
}

function verdictStatistics(verdicts: readonly Verdict[]): Record<string, number> {
  const tries = sum(verdicts.map((verdict) => verdict.tries));
  const solved = sum(verdicts.map((verdict) => Number(verdict.solved)));
  const names = new Set(verdicts.flatMap((verdict) => Object.keys(verdict.statistics)));
  const ofTask = [...names].map((name) => {
    // A statistic that a completion lacks (a share of nothing) says nothing about it.
    const values = verdicts.map((verdict) => verdict.statistics[name]).filter((value) => value !== undefined);
    return [name, mean(values)];
  });
  return {
    ...Object.fromEntries(ofTask),
    solveRate: mean(verdicts.map((verdict) => Number(verdict.solved))),
    formatRate: mean(verdicts.map((verdict) => Number(verdict.wellFormed))),
    tries: mean(verdicts.map((verdict) => verdict.tries)),
    ...(tries > 0 ? { solvedPerTry: solved / tries } : {}),
  };
}

/** What only several samples of a problem can tell. `verdicts` holds `samples` of each problem, one after another. */
function severalSamples(verdicts: readonly Verdict[], samples: number): Record<string, number> {
  const groups: Verdict[][] = [];
  for (let start = 0; start < verdicts.length; start += samples) groups.push(verdicts.slice(start, start + samples));
  const statistics: Record<string, number> = {};
  for (const k of reportedKs(samples)) {
    statistics[`passAt${k}`] = mean(
      groups.map((group) => passAtK(samples, group.filter(({ solved }) => solved).length, k)),
    );
  }
  if (verdicts.some(({ answer }) => answer !== undefined)) {
    statistics.majorityRate = mean(groups.map((group) => Number(majorityIsRight(group))));
  }
  return statistics;
}

function majorityIsRight(group: readonly Verdict[]): boolean {
  const winner = majorityAnswer(group.map(({ answer }) => answer ?? null));
  return winner !== null && group.some(({ answer, solved }) => answer === winner && solved);
}

function evaluated(completion: Completion, verdict: Verdict): EvaluatedCompletion {
  return {
    problemId: completion.problem.id,
    sample: completion.sample,
    prompt: completion.problem.prompt,
    completion: completion.text,
    solved: verdict.solved,
    wellFormed: verdict.wellFormed,
    tries: verdict.tries,
    finishReason: completion.finishReason,
    lengthTokens: completion.tokens.length,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
