/**
 * What the lines of a run's logs look like. Every log is JSON Lines: one object per line, appended as things happen.
 *
 * metrics, rollouts and evaluations hold nothing that depends on the clock or on the machine's speed: the same recipe
 * and seed give the same bytes, also after an interruption. Whatever the clock says goes to timings and events.
 */

import { z } from "zod";

/** JSON has no NaN or infinity: such a number is written as null. */
const number = z.number().nullable();

const numbersByName = z.record(z.string(), number);

const interval = z.tuple([number, number]);

/**
 * One optimizer step of SFT, one iteration of GRPO: its stage, the optimizer step that ended it, and the metrics under
 * their usual names (`reward`, `loss`, …).
 */
export const metricsRecordSchema = z
  .object({ stage: z.string(), step: z.int(), iteration: z.int().optional() })
  .catchall(number);

/** One completion that a policy was trained on, with each reward's score and reason. */
export const rolloutRecordSchema = z.object({
  stage: z.string(),
  iteration: z.int(),
  /** Index of the problem in the task's stream of training problems. */
  promptId: z.int(),
  /** Which of the prompt's completions. */
  sample: z.int().optional(),
  prompt: z.string(),
  completion: z.string(),
  /** A score of null: the reward abstained. */
  rewards: z.record(z.string(), z.object({ score: number, reason: z.string() })),
  /** Weighted sum of the scores; null where every reward abstained. */
  reward: number,
  advantage: number,
  /** By the task's own judgement, whatever the rewards say. */
  solved: z.boolean().optional(),
  finishReason: z.enum(["stop", "length"]),
  promptTokens: z.int().optional(),
  /** Of the completion, its end included. */
  lengthTokens: z.int(),
  /** Of the whole completion under the policy that sampled it, in nats. */
  samplerLogprob: number.optional(),
  /** Where the recipe asks for log-probabilities: the completion's tokens, and what the sampler gave each of them. */
  tokens: z.array(z.int()).optional(),
  samplerLogprobs: z.array(number).optional(),
  /** And of each token that an update read: its advantage where they differ, r as the loss read it, the policy's entropy in nats. */
  tokenAdvantages: z.array(number).optional(),
  ratios: z.array(number).optional(),
  entropies: z.array(number).optional(),
});

/** One answer of the policy to one held-out problem, as the task judged it. */
const evaluatedCompletionSchema = z.object({
  problemId: z.int(),
  sample: z.int(),
  prompt: z.string(),
  completion: z.string(),
  finishReason: z.enum(["stop", "length"]),
  lengthTokens: z.int(),
  solved: z.boolean(),
  wellFormed: z.boolean(),
  /** Absent where the task has no tries. */
  tries: number.optional(),
});

/** One pass over the held-out problems with one way of decoding. */
export const evaluationRecordSchema = z.object({
  stage: z.string(),
  step: z.int(),
  /** Of the stage: before its first step, between two steps, or after its last. */
  moment: z.enum(["before", "during", "after"]),
  decoding: z.enum(["sampled", "greedy"]),
  /** How each token was chosen (temperature 0: the most probable), and completions per problem. */
  sampling: z.object({ temperature: z.number(), topP: z.number(), topK: z.int(), samples: z.int() }).optional(),
  /** Means over the completions: solveRate, formatRate, meanLength, tries, … */
  statistics: numbersByName,
  /** 95 % confidence intervals of those statistics that have one. */
  intervals: z.record(z.string(), interval),
  /** The same statistics under TRL's names, with its prefix `eval_`. */
  metrics: numbersByName.optional(),
  completions: z.array(evaluatedCompletionSchema),
});

/** How long a step took; never part of what has to be reproduced. */
export const timingRecordSchema = z.object({ stage: z.string(), step: z.int() }).catchall(number);

/** Something that happened, with the wall clock: started, stage-started, step-skipped, no-signal,
 * reward-abstained, alarm (`alarms/alarm.ts`), usage (of an engine elsewhere), checkpoint, interrupted, diverged, resumed, finished. */
export const eventRecordSchema = z.looseObject({ at: z.string(), event: z.string() });

export type MetricsRecord = z.infer<typeof metricsRecordSchema>;
export type RolloutRecord = z.infer<typeof rolloutRecordSchema>;
export type EvaluatedCompletionRecord = z.infer<typeof evaluatedCompletionSchema>;
export type EvaluationRecord = z.infer<typeof evaluationRecordSchema>;
export type TimingRecord = z.infer<typeof timingRecordSchema>;
export type EventRecord = z.infer<typeof eventRecordSchema>;

/** Names of the logs that a checkpoint pins and a resume cuts back. `events` is not one of them: it is a diary. */
export const PINNED_LOGS = ["metrics", "rollouts", "evaluations", "timings"] as const;
export type PinnedLog = (typeof PINNED_LOGS)[number];

/** File name of a pinned log. */
export function logFileName(log: PinnedLog): string {
  return `${log}.jsonl`;
}
