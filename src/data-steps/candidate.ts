/** A candidate: one completion of one prompt, with its scores and its verdict, as a step keeps it on the disk. */

import { z } from "zod";

/** A line of a part's file. */
export const candidateSchema = z.object({
  /** Index of the problem in the task's stream. */
  promptId: z.int(),
  sample: z.int(),
  problemId: z.int(),
  prompt: z.string(),
  /** The conversation behind the prompt and how the answer to it begins, where an endpoint was given that. */
  conversation: z
    .object({
      messages: z.array(z.object({ role: z.string(), content: z.string() })).readonly(),
      opening: z.string(),
    })
    .optional(),
  columns: z.record(z.string(), z.unknown()),
  /** As it would be trained on: cut at `stopAt`, and refined where the step refines. */
  completion: z.string(),
  /** It ended by itself. */
  finished: z.boolean(),
  /** As it was sampled. */
  lengthTokens: z.int(),
  solved: z.boolean(),
  /** Scores of the rewards that were asked, by the filter's label; null: abstained. */
  scores: z.record(z.string(), z.number().nullable()),
  /** The filter that dropped it, and why; null: it is kept. */
  dropped: z.object({ by: z.string(), reason: z.string() }).nullable(),
});

/** One completion of one prompt. */
export type Candidate = z.infer<typeof candidateSchema>;
