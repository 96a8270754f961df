/**
 * Which checkpoint of a run is the best, by held-out evaluation (never by reward, which a policy may learn to please).
 *
 * It is computed from the evaluations log alone, which a resume cuts back together with everything else, so it needs no
 * state of its own. Every evaluation in and after every stage counts, of the way of decoding that is asked for; of
 * equals the first is best. A statistic over a few hundred problems is noisy, and the best of many evaluations is
 * partly the luckiest: look at its interval.
 */

import { z } from "zod";
import { ConfigError, nearestName } from "../errors.ts";
import { statisticNames } from "../eval/evaluate.ts";
import { PAIR_STATISTICS } from "../eval/evaluate-pairs.ts";
import { hashString } from "../random.ts";
import type { EvaluationRecord } from "../run/records.ts";
import { checkpointName } from "../run/run-store.ts";
import type { Task } from "../tasks/task.ts";
import { decodingOptions, type EvaluationConfig } from "./evaluation.ts";

/** The recipe's key `bestCheckpoint`. */
export const bestCheckpointSchema = z.strictObject({
  metric: z
    .string()
    .min(1)
    .default("solveRate")
    .describe("the held-out statistic that decides, e.g. solveRate, passAt8, majorityRate"),
  decoding: z
    .enum(["sampled", "greedy"])
    .default("sampled")
    .describe("of which answers; greedy needs evaluation.greedy: always"),
  mode: z.enum(["max", "min"]).default("max").describe("whether more of it is better, or less"),
  useAsModel: z.boolean().default(false).describe("model/ is the best checkpoint, not the last"),
});

export type BestCheckpointConfig = z.infer<typeof bestCheckpointSchema>;

/** What of an evaluation counts here. */
export type EvaluatedStatistics = Pick<EvaluationRecord, "stage" | "step" | "moment" | "decoding"> & {
  readonly statistics: Readonly<Record<string, number | null>>;
};

/** A checkpoint and what its policy reached. */
export interface BestCheckpoint {
  /** Name of its folder. */
  readonly name: string;
  readonly metric: string;
  readonly value: number;
}

/** The best of the evaluated states; undefined where none has the metric. */
export function bestCheckpoint(
  records: readonly EvaluatedStatistics[],
  { metric, decoding: asked, mode }: Pick<BestCheckpointConfig, "metric" | "decoding" | "mode">,
): BestCheckpoint | undefined {
  let best: BestCheckpoint | undefined;
  for (const { stage, step, moment, decoding, statistics } of records) {
    const value = statistics[metric];
    if (moment === "before" || decoding !== asked || value === undefined || value === null) continue;
    if (best === undefined || (mode === "max" ? value > best.value : value < best.value)) {
      best = { name: checkpointName(stage, step), metric, value };
    }
  }
  return best;
}

/** Of a recipe that trains a reward model: its evaluations score pairs, and have nothing to decode. */
export function requirePairMetric({ metric }: Pick<BestCheckpointConfig, "metric">, task: Task): void {
  requireKnown(metric, PAIR_STATISTICS, task);
}

/**
 * Refuses, before any training, a metric that evaluations of the task do not have.
 *
 * @throws ConfigError naming those that there are
 */
export function requireMetric(
  { metric, decoding }: Pick<BestCheckpointConfig, "metric" | "decoding">,
  evaluation: EvaluationConfig,
  task: Task,
): void {
  if (decoding === "greedy" && evaluation.greedy !== "always") {
    throw new ConfigError(
      `bestCheckpoint.decoding: greedy answers are compared, but evaluation.greedy is ${evaluation.greedy}: set it to always.`,
    );
  }
  const problem = task.trainProblem(0);
  const completions = ["", ...(task.demonstrate ? [task.demonstrate(problem, hashString("probe")).completion] : [])];
  const verdicts = completions.map((completion) => task.judge(problem, completion));
  const several = /^(passAt|majority)/.test(metric) && evaluation.samples === 1;
  const hint = several ? " pass@k and the majority vote need several samples: set evaluation.samples." : "";
  requireKnown(metric, statisticNames(verdicts, decodingOptions(evaluation, decoding)), task, hint);
}

function requireKnown(metric: string, known: readonly string[], task: Task, hint = ""): void {
  if (known.includes(metric)) return;
  const nearest = nearestName(metric, known);
  throw new ConfigError(
    `bestCheckpoint.metric: evaluations of the task ${task.name} have no statistic ${metric}; they have: ` +
      `${known.join(", ")}.${nearest === undefined ? "" : ` Did you mean ${nearest}?`}${hint}`,
  );
}
