/** The recipe keys of supervised fine-tuning. */

import { z } from "zod";
import { type ConfigIssue, refineWith } from "../config-issue.ts";
import { lengthIssues, lengthShape } from "../length-config.ts";
import { optimizerShape } from "../optimizer-config.ts";

/** What is done with a demonstration that is longer than `maxTokens`. */
const OVERLONG_POLICIES = ["error", "drop", "truncate"] as const;

/** Keys and defaults, for recipes that add keys of their own. */
export const sftShape = {
  ...lengthShape,
  batchTokens: z.int().min(1).default(2048).describe("most tokens of one step, prompts and completions together"),
  batchDemonstrations: z
    .int()
    .min(1)
    .optional()
    .describe(
      "most demonstrations of one step, which then ends with its pass over the data too; as many as batchTokens holds if absent",
    ),
  demonstrationsPerProblem: z
    .int()
    .min(1)
    .default(1)
    .describe(
      "demonstrations of a problem, one after another, of a task that draws them: their prompt is computed once, so long prompts cost less; with steps only",
    ),
  maxTokens: z
    .int()
    .min(2)
    .optional()
    .describe("longest demonstration, prompt and completion; the smaller of batchTokens and the context if absent"),
  overlong: z
    .enum(OVERLONG_POLICIES)
    .default("drop")
    .describe("longer ones: refused before training, left out, or cut at the end (without an end token); counted"),
  evalLossEvery: z
    .int()
    .min(0)
    .default(0)
    .describe("loss on the held-out problems' demonstrations after so many steps, and at the end; 0: never"),
  neftuneNoiseAlpha: z
    .number()
    .min(0)
    .default(0)
    .describe("α of the noise on the embeddings in training (NEFTune, 5 to 15 in its paper); 0 is none"),
  ...optimizerShape,
};

/** Impossible combinations, for `superRefine`. */
export function sftIssues(config: SftConfig): ConfigIssue[] {
  const { maxTokens, batchTokens, demonstrationsPerProblem, epochs } = config;
  const issues = lengthIssues(config);
  if (maxTokens !== undefined && maxTokens > batchTokens) {
    const message = `maxTokens (${maxTokens}) is more than a step takes (batchTokens, ${batchTokens})`;
    issues.push({ path: ["maxTokens"], message });
  }
  if (demonstrationsPerProblem > 1 && epochs !== undefined) {
    const message =
      "is for problems without end: a pass over data (epochs) takes every row once. Give steps, or leave it out";
    issues.push({ path: ["demonstrationsPerProblem"], message });
  }
  return issues;
}

/** The strict schema: unknown keys and impossible combinations are refused. */
export const sftConfigSchema = z.strictObject(sftShape).superRefine(refineWith(sftIssues));

export type SftConfig = z.infer<z.ZodObject<typeof sftShape>>;
