/** The recipe keys of the reward-model trainer. */

import { z } from "zod";
import { refineWith } from "../config-issue.ts";
import { lengthIssues, lengthShape } from "../length-config.ts";
import { optimizerShape } from "../optimizer-config.ts";

/** Keys and defaults, for recipes that add keys of their own. */
export const rewardModelShape = {
  ...lengthShape,
  batchPairs: z.int().min(1).default(16).describe("pairs per optimizer step"),
  maxTokens: z
    .int()
    .min(2)
    .optional()
    .describe("longest sequence, prompt and answer together; the model's context if absent"),
  overlong: z
    .enum(["error", "drop"])
    .default("drop")
    .describe("pairs with a longer one: refused, or left out, counted"),
  centerRewardsCoefficient: z
    .number()
    .min(0)
    .default(0)
    .describe("c of c·(r_chosen + r_rejected)², which holds rewards around 0; 0 is none, 0.01 is usual"),
  ...optimizerShape,
};

/** Impossible combinations, for `superRefine`. */
export const rewardModelIssues = (config: RewardModelConfig) => lengthIssues(config);

/** The strict schema: unknown keys and impossible combinations are refused. */
export const rewardModelConfigSchema = z.strictObject(rewardModelShape).superRefine(refineWith(rewardModelIssues));

export type RewardModelConfig = z.infer<z.ZodObject<typeof rewardModelShape>>;
