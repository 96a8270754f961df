/**
 * The recipe keys of GRPO.
 *
 * The batch arithmetic in one line: an iteration samples promptsPerIteration × groupSize completions and takes
 * updatesPerIteration × minibatchesPerIteration optimizer steps on them. There is no accumulation to multiply with: how
 * many sequences fit into memory at once is the engine's business and changes no result.
 */

import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import { KL_ESTIMATORS } from "../../losses/loss-spec.ts";
import {
  IMPORTANCE_SAMPLING_LEVELS,
  LOSS_TYPES,
  type PolicyObjective,
  policyObjective,
  tokenLossOf,
} from "../../losses/policy-objective.ts";
import { SAMPLER_CORRECTIONS } from "../../losses/sampler-correction.ts";
import { forTasks } from "../../rewards/for-tasks.ts";
import { createReward, type RewardDeps, rewardAnyColumn, rewardColumns } from "../../rewards/registry.ts";
import { type AnyReward, renamed } from "../../rewards/reward.ts";
import { isRewardReference, parseRewardReference, rewardLabel } from "../../rewards/user/reference.ts";
import { DEFAULT_TIMEOUT_MS, UserReward } from "../../rewards/user/thread.ts";
import { ADVANTAGES, REWARD_AGGREGATIONS, SCALE_REWARDS } from "../../rollout/advantages.ts";
import type { WeightedReward } from "../../rollout/collect.ts";
import type { Problem, Task } from "../../tasks/task.ts";
import { type ConfigIssue, optimizerIssues, optimizerShape, refineWith } from "../optimizer-config.ts";
import { combinationIssues } from "./combinations.ts";

const rewardSchema = z.strictObject({
  name: z
    .string()
    .describe("a reward of the registry (aha reward --help lists them), or one of your own: ./my-reward.ts#name"),
  as: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _")
    .optional()
    .describe("its name in metrics and rollouts, where one reward is listed twice"),
  weight: z.number().default(1).describe("how much its score counts in the sum"),
  options: z.record(z.string(), z.unknown()).default({}).describe("the reward's own options"),
  tasks: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "of a mixture of tasks: names of those whose completions it judges; it abstains from others. All if absent",
    ),
  timeoutMs: z
    .int()
    .min(1)
    .optional()
    .describe(`a reward of your own abstains where a judgement takes longer; ${DEFAULT_TIMEOUT_MS} if absent`),
});

/** How rewards become advantages. */
const advantageShape = {
  advantage: z
    .enum(ADVANTAGES)
    .default("group")
    .describe("what a completion is compared with: its group (GRPO), the others of it (rloo), the batch (reinforce++)"),
  scaleRewards: z.enum(SCALE_REWARDS).default("group").describe("which deviation divides the advantages of a group"),
  rewardAggregation: z
    .enum(REWARD_AGGREGATIONS)
    .default("sum_then_normalize")
    .describe("several rewards: normalise their sum, or each by itself (GDPO)"),
  normalizeAdvantages: z.boolean().default(false).describe("whiten advantages over the iteration's completions"),
  maxSamplingRounds: z
    .int()
    .min(1)
    .default(1)
    .describe(
      "rounds in which groups of equal rewards are replaced by new ones (DAPO's dynamic sampling); 1 keeps all",
    ),
};

/** The policy term of the loss and its mean. */
const policyShape = {
  lossType: z.enum(LOSS_TYPES).default("dapo").describe("the policy term and how it is averaged, as TRL names them"),
  importanceSamplingLevel: z
    .enum(IMPORTANCE_SAMPLING_LEVELS)
    .default("token")
    .describe("whose ratio counts: each token's, or the sequence's mean (GSPO, best with lossType grpo)"),
  clipEpsilon: z.number().positive().lt(1).default(0.2).describe("how far below 1 a ratio counts"),
  clipEpsilonHigh: z
    .number()
    .positive()
    .optional()
    .describe("how far above 1 a ratio counts; clipEpsilon if absent. Of cispo the cap itself; 5 if absent"),
  delta: z
    .number()
    .positive()
    .optional()
    .describe("bounds the ratio where the advantage is negative too; beyond the clip"),
  sapoTemperaturePos: z
    .number()
    .positive()
    .default(1)
    .describe("sapo: steepness of the gate where the advantage is > 0"),
  sapoTemperatureNeg: z.number().positive().default(1.05).describe("sapo: the same where it is not"),
  vespoKPos: z.number().min(0).default(2).describe("vespo: exponent k where the advantage is ≥ 0"),
  vespoLambdaPos: z.number().min(0).default(3).describe("vespo: decay λ there"),
  vespoKNeg: z.number().min(0).default(3).describe("vespo: exponent k where the advantage is < 0"),
  vespoLambdaNeg: z.number().min(0).default(2).describe("vespo: decay λ there"),
  maskTruncatedCompletions: z
    .boolean()
    .default(false)
    .describe("leave completions that were cut out of the loss; they still count in their group's mean reward"),
  offPolicyMaskThreshold: z
    .number()
    .optional()
    .describe("leave out sequences of negative advantage whose mean log-probability fell by more than this (nats)"),
  topEntropyQuantile: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("share of tokens, those of the highest entropy, whose policy term counts; 1 is all"),
  entropyCoef: z.number().default(0).describe("how much of the mean entropy is taken from the loss; 0 is none"),
  neftuneNoiseAlpha: z
    .number()
    .min(0)
    .default(0)
    .describe("α of the noise on the embeddings in training, not in sampling (NEFTune); 0 is none"),
  samplerCorrection: z
    .enum(SAMPLER_CORRECTIONS)
    .default("none")
    .describe("weigh terms by π_trainer/π_sampler, of tokens or sequences, cut at the bounds or 0 outside them"),
  samplerCorrectionMax: z.number().positive().nullable().default(3).describe("upper bound of that ratio; null is none"),
  samplerCorrectionMin: z.number().positive().optional().describe("lower bound of that ratio; none if absent"),
};

/** The KL term and its reference. */
const klShape = {
  klCoef: z.number().min(0).default(0).describe("β of the KL term to the reference; 0 is none"),
  klEstimator: z
    .enum(KL_ESTIMATORS)
    .default("k3")
    .describe("k1 is unbiased (in the loss only with klBiasCorrection), k2 and k3 are never negative"),
  klPlacement: z.enum(["loss", "reward"]).default("loss").describe("a term of the loss, or taken from the reward"),
  klBiasCorrection: z
    .boolean()
    .default(false)
    .describe("multiply the KL term by the ratio, which makes its gradient unbiased (TRL 1.16 does)"),
  refSyncSteps: z.int().min(0).default(0).describe("optimizer steps between updates of the reference; 0 is never"),
  refSyncMixup: z.number().positive().max(1).default(0.6).describe("share of the policy in such an update (TR-DPO)"),
};

/** Keys and defaults, for recipes that add keys of their own. */
export const grpoShape = {
  iterations: z.int().min(1).describe("sample-then-update cycles"),
  rewards: z.array(rewardSchema).min(1).describe("what a completion is judged by; scores are added up"),
  promptsPerIteration: z.int().min(1).describe("problems per iteration; each gets one group of completions"),
  groupSize: z.int().min(1).default(8).describe("completions per problem; the group's mean reward is the baseline"),
  updatesPerIteration: z.int().min(1).default(1).describe("passes over an iteration's completions (the paper's μ)"),
  minibatchesPerIteration: z.int().min(1).default(1).describe("optimizer steps per pass; divides promptsPerIteration"),
  temperature: z.number().positive().default(1).describe("softmax temperature, in sampling and in the loss"),
  topP: z.number().positive().max(1).default(1).describe("nucleus sampling; 1 is off"),
  topK: z.int().min(0).default(0).describe("sampling from the k most probable tokens; 0 is off"),
  maxCompletionTokens: z.int().min(1).describe("longest completion; the sampler cuts there"),
  ...advantageShape,
  ...policyShape,
  ...klShape,
  ...optimizerShape,
};

/** Optimizer steps of the whole stage, each pass over each minibatch counted. */
export function grpoTotalSteps(
  config: Pick<GrpoConfig, "iterations" | "updatesPerIteration" | "minibatchesPerIteration">,
): number {
  return config.iterations * config.updatesPerIteration * config.minibatchesPerIteration;
}

/** cispo's cap where none is given: what ScaleRL (arXiv:2510.13786) found best. TRL takes clipEpsilon, which would cap
 * every ratio at a fifth of what it is on policy. */
const CISPO_CAP = 5;

/** What the optimizer steps minimise. A KL divergence in the reward is no part of it. */
export function objectiveOf(config: GrpoConfig): PolicyObjective {
  const { lossType } = config;
  return policyObjective({
    lossType,
    importanceSamplingLevel: config.importanceSamplingLevel,
    clipEpsilon: config.clipEpsilon,
    clipEpsilonHigh: config.clipEpsilonHigh ?? (lossType === "cispo" ? CISPO_CAP : undefined),
    delta: config.delta,
    sapoTemperaturePos: config.sapoTemperaturePos,
    sapoTemperatureNeg: config.sapoTemperatureNeg,
    vespoKPos: config.vespoKPos,
    vespoLambdaPos: config.vespoLambdaPos,
    vespoKNeg: config.vespoKNeg,
    vespoLambdaNeg: config.vespoLambdaNeg,
    klCoef: config.klPlacement === "loss" ? config.klCoef : 0,
    klEstimator: config.klEstimator,
    klBiasCorrection: config.klBiasCorrection,
    offPolicyMaskThreshold: config.offPolicyMaskThreshold,
    topEntropyQuantile: config.topEntropyQuantile,
    entropyCoef: config.entropyCoef,
    temperature: config.temperature,
  });
}

/** Impossible combinations, for `superRefine`. */
export function grpoIssues(config: GrpoConfig): ConfigIssue[] {
  const { promptsPerIteration, minibatchesPerIteration } = config;
  const issues = [...optimizerIssues(config, grpoTotalSteps(config)), ...combinationIssues(config, grpoShape)];
  if (promptsPerIteration % minibatchesPerIteration !== 0) {
    issues.push({
      path: ["minibatchesPerIteration"],
      message:
        `minibatchesPerIteration (${minibatchesPerIteration}) does not divide promptsPerIteration ` +
        `(${promptsPerIteration}); a minibatch is a whole number of groups`,
    });
  }
  if (config.neftuneNoiseAlpha > 0 && tokenLossOf(objectiveOf(config)) === undefined) {
    issues.push({
      path: ["neftuneNoiseAlpha"],
      message:
        "neftuneNoiseAlpha needs an objective whose terms read one token each; this one is computed from a pass without noise",
    });
  }
  const found = config.rewards.flatMap(rewardIssues);
  const names = found.length > 0 ? [] : config.rewards.map(({ name, as }) => as ?? rewardLabel(name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    issues.push({
      path: ["rewards"],
      message: `rewards lists ${twice} twice; give it one weight, or name them apart with as`,
    });
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
export function createRewards(rewards: GrpoConfig["rewards"], deps: RewardDeps = {}): WeightedReward[] {
  return rewards.map((config) => {
    const created = createOne(config, deps);
    const reward = config.as === undefined ? created : renamed(created, config.as);
    return { reward: config.tasks ? forTasks(reward, config.tasks) : reward, weight: config.weight };
  });
}

function createOne({ name, options, timeoutMs }: GrpoConfig["rewards"][number], deps: RewardDeps): AnyReward {
  if (isRewardReference(name)) {
    const limit = timeoutMs === undefined ? {} : { timeoutMs };
    return new UserReward(parseRewardReference(name), { options, ...limit });
  }
  if (timeoutMs === undefined) return createReward(name, options, deps);
  throw new ConfigError(`timeoutMs is for rewards of your own (FILE#NAME); ${name} needs none. Leave it out.`);
}

/**
 * Refuses, before any training, rewards that read columns which the task's problems do not have: they would abstain from
 * every completion.
 *
 * @throws ConfigError naming the reward and the columns that there are.
 */
export function requireRewardColumns(rewards: GrpoConfig["rewards"], task: Task): void {
  for (const { name, options, tasks } of rewards) {
    const { columns, place } = problemFor(task, tasks, name);
    const there = Object.keys(columns);
    const needed = isRewardReference(name) ? [] : rewardColumns(name, options);
    const missing = needed.filter((column) => !there.includes(column));
    if (missing.length === 0) continue;
    throw new ConfigError(
      `The reward ${name} reads the column${missing.length > 1 ? "s" : ""} ${missing.join(", ")}, which problems of the ` +
        `task ${task.name} do not have${place === undefined ? "" : ` (${place})`}; they have: ${there.join(", ")}. ` +
        "Map columns to these names (task.data.columns), or use another reward.",
    );
  }
  for (const { name, options } of rewards) requireAnyColumn(name, options, task);
}

/** For a reward that takes its gold from one of several columns: some problem has to have one. */
function requireAnyColumn(name: string, options: unknown, task: Task): void {
  const wanted = isRewardReference(name) ? [] : rewardAnyColumn(name, options);
  if (wanted.length === 0) return;
  const probed = Math.min(PROBED_PROBLEMS, task.trainCount);
  for (let index = 0; index < probed; index++) {
    const { columns } = task.trainProblem(index);
    if (wanted.some((column) => columns[column] !== undefined && columns[column] !== null)) return;
  }
  throw new ConfigError(
    `The reward ${name} reads one of the columns ${wanted.join(", ")}, of which problems of the task ${task.name} have ` +
      `none; they have: ${Object.keys(task.trainProblem(0).columns).join(", ")}. ` +
      "Map a column to one of these names (task.data.columns), or name the column with the gold answer in the reward's options (gold).",
  );
}

/** How many problems are looked at for one of a task. */
const PROBED_PROBLEMS = 2000;

/** The first problem that the reward judges. */
function problemFor(task: Task, tasks: readonly string[] | undefined, reward: string): Problem {
  if (tasks === undefined) return task.trainProblem(0);
  const seen = new Set<string>();
  for (let index = 0; index < Math.min(PROBED_PROBLEMS, task.trainCount); index++) {
    const problem = task.trainProblem(index);
    const name = String(problem.columns.task ?? task.name);
    if (tasks.includes(name)) return problem;
    seen.add(name);
  }
  throw new ConfigError(
    `The reward ${reward} is for the tasks ${tasks.join(", ")}, but problems are of ${[...seen].join(", ")}. ` +
      "Name one of these under rewards[].tasks, or leave it out.",
  );
}

/** The strict schema: unknown keys and impossible combinations are refused. */
export const grpoConfigSchema = z.strictObject(grpoShape).superRefine(refineWith(grpoIssues));

export type GrpoConfig = z.infer<z.ZodObject<typeof grpoShape>>;
