/**
 * What a pipeline leaves in its run directory, apart from its stages' own folders: `lineage.json`, which is also what it
 * goes on from, and `summary.json`.
 *
 *     pipeline.yaml      the file with overrides, as it was run last
 *     run.lock           who works here now
 *     lineage.json       each stage's hash, inputs, output, seconds
 *     stages/NAME/       of a recipe: a run directory; of a data step: data/, rejected.jsonl, parts/
 *     evaluations/NAME/SUITE.json
 *     superseded/        results of stages that were changed since
 *     summary.json  report.html
 */

import { z } from "zod";

/** Names of the files and folders of a pipeline's run directory. */
export const PIPELINE_FILES = {
  pipeline: "pipeline.yaml",
  lineage: "lineage.json",
  stages: "stages",
  evaluations: "evaluations",
  superseded: "superseded",
  summary: "summary.json",
  report: "report.html",
} as const;

/** Everything that a stage's result is a function of. */
const ingredientsSchema = z.object({
  /** Of Aha's code and formats. */
  version: z.int(),
  kind: z.string(),
  /** The resolved configuration; outputs of other stages are `@NAME`. */
  config: z.unknown(),
  /** Content hashes of other stages' outputs, by stage. */
  inputs: z.record(z.string(), z.string()),
  /** Content hashes of files that the configuration names, by path. */
  files: z.record(z.string(), z.string()),
});

const stageRecordSchema = z.object({
  /** SHA-256 of the ingredients. */
  hash: z.string(),
  state: z.enum(["begun", "finished"]),
  ingredients: ingredientsSchema,
  /** Of a finished stage: what it made, a hash of all of its bytes, and one of its files' sizes and dates. */
  output: z.object({ type: z.string(), path: z.string(), hash: z.string(), stamp: z.string().optional() }).optional(),
  /** Rows of a data set. */
  rows: z.object({ train: z.int(), test: z.int() }).optional(),
  /** Seconds of work, all sessions together. */
  seconds: z.number(),
  /** In the newest session: run, reused, or not looked at. */
  session: z.enum(["run", "reused", "left"]),
});

/** `lineage.json`. */
export const pipelineLineageSchema = z.object({
  pipeline: z.string(),
  seed: z.int(),
  /** Threads of every stage, decided when the pipeline began. */
  threads: z.int(),
  /** In the order of the file. */
  stages: z.record(z.string(), stageRecordSchema),
  /** Results that were set aside, by their folder in superseded/. */
  superseded: z.record(z.string(), z.object({ stage: z.string(), record: stageRecordSchema })),
});

/** One suite's measurement of one model. */
export const suiteResultSchema = z.object({
  /** Of the model's bytes and the suite's configuration: what the result is a function of. */
  hash: z.string(),
  problems: z.int(),
  statistics: z.record(z.string(), z.number().nullable()),
  intervals: z.record(z.string(), z.tuple([z.number(), z.number()])),
});

/** `summary.json` of a pipeline. */
export const pipelineSummarySchema = z.object({
  pipeline: z.string(),
  question: z.string(),
  seed: z.int(),
  /** Seconds of work over all stages. */
  seconds: z.number(),
  /** Statistics that the table shows. */
  columns: z.array(z.string()),
  suites: z.array(z.string()),
  stages: z.array(
    z.object({
      name: z.string(),
      kind: z.string(),
      note: z.string().optional(),
      /** In the newest session. */
      session: z.enum(["run", "reused", "left"]),
      hash: z.string(),
      seconds: z.number(),
      needs: z.array(z.string()),
      output: z.object({ type: z.string(), path: z.string(), hash: z.string() }),
      rows: z.object({ train: z.int(), test: z.int() }).optional(),
      /** By suite; only of stages that make a model. */
      evaluations: z.record(z.string(), suiteResultSchema),
    }),
  ),
});

export type Ingredients = z.infer<typeof ingredientsSchema>;
export type StageRecord = z.infer<typeof stageRecordSchema>;
export type PipelineLineage = z.infer<typeof pipelineLineageSchema>;
export type SuiteResult = z.infer<typeof suiteResultSchema>;
export type PipelineSummary = z.infer<typeof pipelineSummarySchema>;
