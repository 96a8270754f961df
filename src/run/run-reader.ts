/**
 * Reads a run directory without taking part in it: for the report, and anyone who wants the numbers of a run that is
 * over or still going. Nothing here writes or locks.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import { readLog } from "./log-file.ts";
import { readRecipeFile } from "./recipe-file.ts";
import {
  type EvaluationRecord,
  type EventRecord,
  evaluationRecordSchema,
  eventRecordSchema,
  logFileName,
  type MetricsRecord,
  metricsRecordSchema,
  type TimingRecord,
  timingRecordSchema,
} from "./records.ts";
import { RUN_FILES } from "./run-store.ts";
import { type RunSummary, runSummarySchema } from "./summary.ts";

export interface RunSnapshot {
  readonly path: string;
  /** The resolved recipe, as plain JSON. */
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly metrics: readonly MetricsRecord[];
  readonly evaluations: readonly EvaluationRecord[];
  readonly timings: readonly TimingRecord[];
  readonly events: readonly EventRecord[];
  /** undefined while the run is not complete. */
  readonly summary: RunSummary | undefined;
}

const objectSchema = z.record(z.string(), z.unknown());

/**
 * Everything but the rollouts, which can be many (`eachRollout` of `rollout-log.ts` reads them one by one).
 *
 * @throws RunDirError no run there, or a file in it that something else has changed
 */
export function readRun(path: string): RunSnapshot {
  const recipePath = join(path, RUN_FILES.recipe);
  if (!existsSync(recipePath)) throw new RunDirError(`${path} has no ${RUN_FILES.recipe}: it is not a run directory.`);
  const summaryPath = join(path, RUN_FILES.summary);
  return {
    path,
    recipe: inForm(objectSchema, readRecipeFile(recipePath), recipePath),
    metrics: readLog(join(path, logFileName("metrics")), metricsRecordSchema),
    evaluations: readLog(join(path, logFileName("evaluations")), evaluationRecordSchema),
    timings: readLog(join(path, logFileName("timings")), timingRecordSchema),
    events: readLog(join(path, RUN_FILES.events), eventRecordSchema),
    summary: existsSync(summaryPath) ? readSummary(summaryPath) : undefined,
  };
}

function readSummary(path: string): RunSummary {
  return inForm(runSummarySchema, parseJson(readFileSync(path, "utf8"), path, RunDirError), path);
}

function inForm<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new RunDirError(
    `${path} is not as Aha writes it, so something else has changed it: ` +
      `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unexpected form"}.`,
  );
}
