/**
 * The recipe keys of GRPO.
 *
 * The batch arithmetic in one line: an iteration samples promptsPerIteration × groupSize completions and takes
 * updatesPerIteration × minibatchesPerIteration optimizer steps on them. There is no accumulation to multiply with: how
 * many sequences fit into memory at once is the engine's business and changes no result.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { createReward, rewardDescriptions } from "../rewards/registry.ts";
import { isRewardReference, parseRewardReference, rewardLabel } from "../rewards/user/reference.ts";
import { DEFAULT_TIMEOUT_MS, UserReward } from "../rewards/user/thread.ts";
import { SCALE_REWARDS } from "../rollout/advantages.ts";
import type { WeightedReward } from "../rollout/collect.ts";
import { LOSS_TYPES } from "../rollout/loss-weights.ts";
import type { Task } from "../tasks/task.ts";
import { type ConfigIssue, optimizerShape, refineWith, warmupIssues } from "./optimizer-config.ts";

const rewardSchema = z.strictObject({
  name: z
    .string()
    .describe("a reward of the registry (aha reward --help lists them), or one of your own: ./my-reward.ts#name"),
  weight: z.number().default(1).describe("how much its score counts in the sum"),
  options: z.record(z.string(), z.unknown()).default({}).describe("the reward's own options"),
  timeoutMs: z
    .int()
    .min(1)
    .optional()
    .describe(`a reward of your own abstains where a judgement takes longer; ${DEFAULT_TIMEOUT_MS} if absent`),
});

/** Keys and defaults, for recipes that add keys of their own. */
export const grpoShape = {
  iterations: z.int().min(1).describe("sample-then-update cycles"),
  rewards: z.array(rewardSchema).min(1).describe("what a completion is judged by; scores are added up"),
  promptsPerIteration: z.int().min(1).describe("problems per iteration; each gets one group of completions"),
  groupSize: z.int().min(2).default(8).describe("completions per problem; the group's mean reward is the baseline"),
  updatesPerIteration: z.int().min(1).default(1).describe("passes over an iteration's completions (the paper's μ)"),
  minibatchesPerIteration: z.int().min(1).default(1).describe("optimizer steps per pass; divides promptsPerIteration"),
  temperature: z.number().positive().default(1).describe("softmax temperature, in sampling and in the loss"),
  topP: z.number().positive().max(1).default(1).describe("nucleus sampling; 1 is off"),
  topK: z.int().min(0).default(0).describe("sampling from the k most probable tokens; 0 is off"),
  maxCompletionTokens: z.int().min(1).describe("longest completion; the sampler cuts there"),
  maskTruncatedCompletions: z
    .boolean()
    .default(false)
    .describe("leave completions that were cut out of the loss; they still count in their group's mean reward"),
  lossType: z.enum(LOSS_TYPES).default("dapo").describe("how token losses are averaged"),
  scaleRewards: z.enum(SCALE_REWARDS).default("group").describe("which deviation divides the advantages"),
  clipEpsilon: z.number().positive().lt(1).default(0.2).describe("how far below 1 a ratio counts"),
  clipEpsilonHigh: z.number().positive().optional().describe("how far above 1 a ratio counts; clipEpsilon if absent"),
  klCoef: z.number().min(0).default(0).describe("β of the KL term to the policy at the stage's start; 0 is none"),
  ...optimizerShape,
};

/** Optimizer steps of the whole stage, each pass over each minibatch counted. */
export function grpoTotalSteps(
  config: Pick<GrpoConfig, "iterations" | "updatesPerIteration" | "minibatchesPerIteration">,
): number {
  return config.iterations * config.updatesPerIteration * config.minibatchesPerIteration;
}

/** Impossible combinations, for `superRefine`. */
export function grpoIssues(config: GrpoConfig): ConfigIssue[] {
  const { promptsPerIteration, minibatchesPerIteration } = config;
  const issues = warmupIssues(config, grpoTotalSteps(config));
  if (promptsPerIteration % minibatchesPerIteration !== 0) {
    issues.push({
      path: ["minibatchesPerIteration"],
      message:
        `minibatchesPerIteration (${minibatchesPerIteration}) does not divide promptsPerIteration ` +
        `(${promptsPerIteration}); a minibatch is a whole number of groups`,
    });
  }
  const found = config.rewards.flatMap(rewardIssues);
  const names = found.length > 0 ? [] : config.rewards.map(({ name }) => rewardLabel(name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    issues.push({ path: ["rewards"], message: `rewards lists ${twice} twice; give it one weight, or another name` });
  }
  return [...issues, ...found];
}

/** What the registry refuses about a reward, so that it is refused with the recipe and not at the stage's start. */
function rewardIssues(reward: GrpoConfig["rewards"][number], index: number): ConfigIssue[] {
  try {
    createRewards([reward]);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return [{ path: ["rewards", index], message: error.message }];
    throw error;
  }
}

/**
 * The rewards that a recipe names: of the registry, or of the user's own files, which `open` will load.
 *
 * @throws ConfigError for an unknown name or option.
 */
export function createRewards(rewards: GrpoConfig["rewards"]): WeightedReward[] {
  return rewards.map(({ name, weight, options, timeoutMs }) => {
    if (isRewardReference(name)) {
      const limit = timeoutMs === undefined ? {} : { timeoutMs };
      return { reward: new UserReward(parseRewardReference(name), { options, ...limit }), weight };
    }
    if (timeoutMs === undefined) return { reward: createReward(name, options), weight };
    throw new ConfigError(`timeoutMs is for rewards of your own (FILE#NAME); ${name} needs none. Leave it out.`);
  });
}

/**
 * Refuses, before any training, rewards that read columns which the task's problems do not have: they would abstain from
 * every completion.
 *
 * @throws ConfigError naming the reward and the columns that there are.
 */
export function requireRewardColumns(rewards: GrpoConfig["rewards"], task: Task): void {
  const { columns, place } = task.trainProblem(0);
  const there = Object.keys(columns);
  for (const { name } of rewards) {
    const needed = rewardDescriptions.find((description) => description.name === name)?.columns ?? [];
    const missing = needed.filter((column) => !there.includes(column));
    if (missing.length === 0) continue;
    throw new ConfigError(
      `The reward ${name} reads the column${missing.length > 1 ? "s" : ""} ${missing.join(", ")}, which problems of the ` +
        `task ${task.name} do not have${place === undefined ? "" : ` (${place})`}; they have: ${there.join(", ")}. ` +
        "Map columns to these names (task.data.columns), or use another reward.",
    );
  }
}

/** The strict schema: unknown keys and impossible combinations are refused. */
export const grpoConfigSchema = z.strictObject(grpoShape).superRefine(refineWith(grpoIssues));

export type GrpoConfig = z.infer<z.ZodObject<typeof grpoShape>>;
