/** A run's logs as the page shows them. */

import type { EvaluationRecord, MetricsRecord, TimingRecord } from "../run/records.ts";
import type { EvaluationResult, IterationMetrics, LessonMetrics, TabSettings } from "./protocol.ts";
import { COLD_START, R1_ZERO } from "./recipe-controls.ts";

/** Settings that changed before an iteration (from 1). */
export interface AppliedSettings {
  readonly iteration: number;
  readonly settings: Partial<TabSettings>;
}

/** The numbers of an iteration, from its row of metrics, the one before it, and its row of timings. */
function iterationMetrics(
  row: MetricsRecord,
  previous: MetricsRecord | undefined,
  timing: TimingRecord | undefined,
  changes: readonly AppliedSettings[],
): IterationMetrics {
  const { iteration: index = 0, ...numbers } = row;
  const iteration = index + 1;
  const number = (name: string): number | undefined => (numbers as Readonly<Record<string, unknown>>)[name] as number;
  const optional = (key: "entropy" | "kl" | "gradNorm", name: string) => {
    const value = number(name);
    return typeof value === "number" ? { [key]: value } : {};
  };
  const changed = changes.filter((change) => change.iteration === iteration).map(({ settings }) => settings);
  return {
    iteration,
    solveRate: number("solve_rate") ?? 0,
    tries: number("tries/mean") ?? 0,
    length: number("completions/mean_length") ?? 0,
    reward: number("reward") ?? 0,
    formatRate: number("format_rate") ?? 0,
    ...optional("entropy", "entropy"),
    ...optional("kl", "kl"),
    ...optional("gradNorm", "grad_norm"),
    learningRate: number("learning_rate") ?? 0,
    zeroVariance: number("frac_reward_zero_std") ?? 0,
    samplingSeconds: timing?.sampling_time ?? 0,
    updateSeconds: timing?.update_time ?? 0,
    // Prompts are among them; of each group they are computed once.
    sampledTokens: (number("num_tokens") ?? 0) - (previous?.num_tokens ?? 0),
    ...(changed.length > 0 && { changed: Object.assign({}, ...changed) as Partial<TabSettings> }),
  };
}

/** Of all iterations that are logged. */
export function historyOf(
  metrics: readonly MetricsRecord[],
  timings: readonly TimingRecord[],
  changes: readonly AppliedSettings[],
): IterationMetrics[] {
  const seconds = new Map(timings.filter(({ stage }) => stage === R1_ZERO).map((row) => [row.step, row]));
  const rows = metrics.filter(({ stage }) => stage === R1_ZERO);
  return rows.map((row, i) => iterationMetrics(row, rows[i - 1], seconds.get(row.step), changes));
}

/** A step of the cold start, of so many, from its row of metrics. */
export function lessonMetrics(row: Readonly<Record<string, unknown>>, steps: number): LessonMetrics {
  const { step, loss, mean_token_accuracy: tokenAccuracy } = row as Readonly<Record<string, number>>;
  return { step: step!, steps, loss: loss ?? Number.NaN, ...(tokenAccuracy !== undefined && { tokenAccuracy }) };
}

/** Of all steps of the cold start that are logged. */
export function lessonsOf(metrics: readonly MetricsRecord[], steps: number): LessonMetrics[] {
  return metrics.filter(({ stage }) => stage === COLD_START).map((row) => lessonMetrics(row, steps));
}

/** An evaluation of sampled answers; undefined for others, and for those of the cold start's beginning. */
export function evaluationResult(record: EvaluationRecord): EvaluationResult | undefined {
  const { stage, step, moment, decoding, statistics, intervals, completions } = record;
  if (decoding !== "sampled" || (stage !== R1_ZERO && moment !== "after")) return undefined;
  const [low, high] = intervals.solveRate ?? [0, 1];
  return {
    iteration: stage === R1_ZERO ? step : 0,
    problems: new Set(completions.map(({ problemId }) => problemId)).size,
    solveRate: statistics.solveRate ?? 0,
    low: low ?? 0,
    high: high ?? 1,
    tries: statistics.tries ?? 0,
    length: statistics.meanLength ?? 0,
  };
}
