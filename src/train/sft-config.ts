/** The recipe keys of supervised fine-tuning. */

import { z } from "zod";
import { optimizerShape, refineWith, warmupIssues } from "./optimizer-config.ts";

/** Keys and defaults, for recipes that add keys of their own. */
export const sftShape = {
  steps: z.int().min(1).describe("optimizer steps"),
  batchTokens: z.int().min(1).default(2048).describe("most tokens of one step, prompts and completions together"),
  ...optimizerShape,
};

/** Impossible combinations, for `superRefine`. */
export const sftIssues = (config: SftConfig) => warmupIssues(config, config.steps);

/** The strict schema: unknown keys and impossible combinations are refused. */
export const sftConfigSchema = z.strictObject(sftShape).superRefine(refineWith(sftIssues));

export type SftConfig = z.infer<z.ZodObject<typeof sftShape>>;
