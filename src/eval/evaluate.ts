/**
 * Evaluation: the policy answers problems, and the task judges the answers, whatever rewards a trainer may use. This
 * shows whether a policy has learned to increase a reward without solving the task.
 *
 * Draws depend on (seed, place of the problem in the list, sample), so two policies that are evaluated with one seed
 * use the same random numbers.
 */

import type { SampledSoFar, SampleProgress, Sampler } from "../engine/contract/sampler.ts";
import { hashString, philox } from "../random.ts";
import { requirePromptsFit, sampleCompletions } from "../rollout/collect.ts";
import type { Problem, Task, Verdict } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Cluster } from "./interval.ts";
import { statisticsOf } from "./statistics.ts";

export interface EvaluationOptions {
  /** 0 is greedy. */
  readonly temperature: number;
  /** 1, off, by default. */
  readonly topP?: number;
  /** 0, off, by default. */
  readonly topK?: number;
  /** Completions per problem. */
  readonly samples: number;
  /** The k of pass@k, each at most `samples`; 2, 4, 8, … by default. */
  readonly passAt?: readonly number[] | undefined;
  readonly maxCompletionTokens: number;
  readonly seed: number;
  readonly onProgress?: SampleProgress;
}

/** How far an evaluation is: completions, or pairs where a reward model is tested, which has no tokens to count. */
export type EvaluatedSoFar = Pick<SampledSoFar, "finished" | "total"> & Partial<SampledSoFar>;

/** One completion, read and judged. */
export interface EvaluatedCompletion {
  readonly problemId: number;
  readonly sample: number;
  readonly prompt: string;
  readonly completion: string;
  readonly solved: boolean;
  readonly wellFormed: boolean;
  /** Absent where the task has no tries. */
  readonly tries?: number;
  readonly finishReason: "stop" | "length";
  readonly lengthTokens: number;
}

export interface Evaluation {
  /** By name: see `statisticsOf`. */
  readonly statistics: Readonly<Record<string, number>>;
  /**
   * 95 % intervals over problems: several completions of one are not independent, and are not counted as if they were.
   * Shares have Wilson's, other means Student's; minima and maxima have none.
   */
  readonly intervals: Readonly<Record<string, [number, number]>>;
  /** What each problem, in order, adds to a statistic: for `compareEvaluations`. */
  readonly clusters: Readonly<Record<string, readonly Cluster[]>>;
  /** Ordered by problem, then sample. */
  readonly completions: readonly EvaluatedCompletion[];
}

/**
 * Lets the engine's policy answer `problems` and reports how it did.
 *
 * @throws ConfigError where a prompt and its longest completion do not fit into the context.
 */
export async function evaluate(
  engine: Sampler,
  tokenizer: Tokenizer,
  task: Task,
  problems: readonly Problem[],
  options: EvaluationOptions,
): Promise<Evaluation> {
  const { temperature, topP = 1, topK = 0, samples, passAt, maxCompletionTokens } = options;
  const numbered = problems.map((problem, promptId) => ({ promptId, problem }));
  requirePromptsFit(engine, tokenizer, numbered, maxCompletionTokens);
  // A stream of its own: an evaluation draws other numbers than the training that has the same seed.
  const seed = philox(options.seed, hashString("evaluation"), [0])[0];
  const sampling = { temperature, topP, topK, maxCompletionTokens, seed, iteration: 0 };
  const sampled = await sampleCompletions(engine, tokenizer, numbered, samples, sampling, options.onProgress);
  const judged = sampled.map(({ problem, sample, text, tokens, finishReason }) => {
    return { problem, sample, text, lengthTokens: tokens.length, finishReason, verdict: task.judge(problem, text) };
  });
  const groups = problems.map((_, i) => judged.slice(i * samples, (i + 1) * samples));
  const { values: statistics, intervals, clusters } = statisticsOf(groups, passAt, task.statisticKinds);
  const completions = judged.map(({ problem, sample, text, lengthTokens, finishReason, verdict }) => ({
    problemId: problem.id,
    sample,
    prompt: problem.prompt,
    completion: text,
    solved: verdict.solved,
    wellFormed: verdict.wellFormed,
    ...(verdict.tries !== undefined && { tries: verdict.tries }),
    finishReason,
    lengthTokens,
  }));
  return { statistics, intervals, clusters, completions };
}

/** Names of the statistics that an evaluation has whose completions get such verdicts. */
export function statisticNames(
  verdicts: readonly Verdict[],
  { samples, passAt }: Pick<EvaluationOptions, "samples" | "passAt">,
): string[] {
  const completion = { text: "", lengthTokens: 0, finishReason: "stop" as const };
  // The task has tries, even if these completions contain none.
  const one = verdicts.map((verdict) => {
    return { ...completion, verdict: { ...verdict, ...(verdict.tries !== undefined && { tries: 1 }) } };
  });
  const groups = one.map((judged) => Array.from({ length: samples }, () => judged));
  return Object.keys(statisticsOf(groups, passAt).values);
}
