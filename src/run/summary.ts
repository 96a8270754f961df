/**
 * `summary.json`: the run in one small file. What it was, what each stage made, and how held-out problems were answered
 * at its start, before reinforcement learning, and after everything.
 */

import { z } from "zod";

const statistics = z.record(z.string(), z.number().nullable());

/**
 * One state of the policy. Its statistics (solveRate, formatRate, meanLength, tries, …) of sampled answers stand
 * beside these keys; the whole evaluation, with every answer, is in evaluations.jsonl.
 */
const evaluatedStateSchema = z.looseObject({
  /** The stage whose end this is; null: the start of the run. */
  afterStage: z.string().nullable(),
  /** In words, e.g. `after cold-start, before r1-zero`. */
  moment: z.string(),
  intervals: z.record(z.string(), z.tuple([z.number().nullable(), z.number().nullable()])),
  /** Of greedy answers, where the recipe asks for them. */
  greedy: statistics.optional(),
});

const stageSummarySchema = z.object({
  name: z.string(),
  trainer: z.string(),
  /** Optimizer steps. */
  steps: z.int(),
  /** Tokens that were trained on or sampled, prompts included. */
  numTokens: z.number(),
  /** Time in its steps, without evaluations. */
  seconds: z.number(),
  /** The checkpoint it started from; `initial` is the recipe's model. */
  from: z.string(),
  /** The checkpoint with its result. */
  made: z.string(),
});

/** Tokens that an engine elsewhere computed, work that was lost and done again included. */
export const engineUsageSchema = z.object({
  /** Of prompts that were sampled from, each once a request, and of texts that were scored by a sampler. */
  promptTokens: z.number(),
  sampledTokens: z.number(),
  /** Positions of forward passes without a gradient. */
  scoredTokens: z.number(),
  /** Positions of forward and backward passes. */
  trainedTokens: z.number(),
});

/** The file. */
export const runSummarySchema = z.object({
  recipe: z.string(),
  question: z.string(),
  seed: z.int(),
  recipeHash: z.string(),
  /** Seconds of work, all sessions together. */
  seconds: z.number(),
  model: z.object({ parameters: z.int().optional(), vocabSize: z.int() }),
  /** Before the first stage. */
  start: evaluatedStateSchema,
  /** What "before" means in this run is in its `moment`. */
  before: evaluatedStateSchema,
  after: evaluatedStateSchema,
  stages: z.array(stageSummarySchema),
  /** Where the engine was not in this process. */
  usage: engineUsageSchema.optional(),
  /** The checkpoint that `model/` holds. */
  modelFrom: z.string().optional(),
  /** The best checkpoint by the recipe's `bestCheckpoint`, with the held-out statistic that decided. */
  best: z.object({ name: z.string(), metric: z.string(), value: z.number() }).optional(),
});

export type EvaluatedState = z.infer<typeof evaluatedStateSchema>;
export type StageSummary = z.infer<typeof stageSummarySchema>;
export type RunSummary = z.infer<typeof runSummarySchema>;
