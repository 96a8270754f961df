/**
 * The recipe keys about optimization that every trainer shares: AdamW, its learning-rate schedule, and what happens
 * when a gradient is not finite.
 */

import { z } from "zod";
import { requireCapability } from "../engine/contract/capabilities.ts";
import type { AdamParams, Policy } from "../engine/contract/policy.ts";
import { learningRateAt, SCHEDULES } from "../optim/schedule.ts";
import type { ConfigIssue } from "./config-issue.ts";
import { idleKeyIssues } from "./idle-keys.ts";

/** Keys and defaults; a trainer spreads them into its own schema. */
export const optimizerShape = {
  learningRate: z.number().positive().describe("peak learning rate"),
  schedule: z.enum(SCHEDULES).default("constant").describe("how the learning rate falls after the warm-up"),
  warmupSteps: z.int().min(0).default(0).describe("optimizer steps of linear warm-up"),
  warmupRatio: z
    .number()
    .min(0)
    .max(1)
    .default(0)
    .describe("the same as a share of the stage's optimizer steps, rounded up; in place of warmupSteps"),
  minLearningRateRatio: z.number().min(0).max(1).default(0).describe("floor of the decay as a share of the peak"),
  beta1: z.number().min(0).lt(1).default(0.9).describe("AdamW: decay of the first moment"),
  beta2: z.number().min(0).lt(1).default(0.999).describe("AdamW: decay of the second moment"),
  adamEpsilon: z.number().positive().default(1e-8).describe("AdamW: added to the root of the second moment"),
  weightDecay: z.number().min(0).default(0).describe("decoupled weight decay; not applied to norms and biases"),
  maxGradNorm: z.number().min(0).default(1).describe("clip of the gradient's global norm; 0 is none"),
  maxSkippedSteps: z
    .int()
    .min(0)
    .default(3)
    .describe("steps in a row that may be skipped, as their loss or gradient is not finite, before it stops"),
};

export type OptimizerConfig = z.infer<z.ZodObject<typeof optimizerShape>>;

/** AdamW's parameters for optimizer step `step` (0-based) of `totalSteps`. */
export function adamParamsAt(step: number, totalSteps: number, config: OptimizerConfig): AdamParams {
  const warmupSteps = config.warmupSteps || Math.ceil(config.warmupRatio * totalSteps);
  return {
    learningRate: learningRateAt(step, totalSteps, { ...config, warmupSteps }),
    beta1: config.beta1,
    beta2: config.beta2,
    epsilon: config.adamEpsilon,
    weightDecay: config.weightDecay,
    maxGradNorm: config.maxGradNorm,
  };
}

/** Refuses an engine that lacks what a key of the optimizer asks for. Throws ConfigError. */
export function requireOptimizer(
  engine: Policy,
  { maxGradNorm, weightDecay }: Pick<OptimizerConfig, "maxGradNorm" | "weightDecay">,
  stage?: string,
): void {
  if (maxGradNorm > 0) requireCapability(engine, "gradientClipping", { stage, key: "maxGradNorm" });
  if (weightDecay > 0) requireCapability(engine, "weightDecay", { stage, key: "weightDecay" });
}

/** Problems of the warm-up against the length of the stage, and of a floor that a constant rate never reaches. */
export function optimizerIssues(config: OptimizerConfig, totalSteps: number): ConfigIssue[] {
  const idle = idleKeyIssues(config, optimizerShape, [
    {
      keys: ["minLearningRateRatio"],
      isRead: ({ schedule }) => schedule !== "constant",
      because: () => "schedule constant does not decay, so it has no floor",
    },
  ]);
  if (config.warmupSteps > 0 && config.warmupRatio > 0) {
    const both = `warmupRatio (${config.warmupRatio}) says what warmupSteps (${config.warmupSteps}) says; give one of them`;
    return [{ path: ["warmupRatio"], message: both }, ...idle];
  }
  if (config.warmupSteps <= totalSteps) return idle;
  const message = `warmupSteps (${config.warmupSteps}) is more than the ${totalSteps} optimizer steps of the stage`;
  return [{ path: ["warmupSteps"], message }, ...idle];
}
