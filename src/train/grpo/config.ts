/**
 * The recipe keys of GRPO.
 *
 * The batch arithmetic in one line: an iteration samples promptsPerIteration × groupSize completions and takes
 * updatesPerIteration × minibatchesPerIteration optimizer steps on them. There is no accumulation to multiply with: the
 * engine decides how many sequences it computes at once, and this does not change the result.
 */

import { z } from "zod";
import { KL_ESTIMATORS } from "../../losses/kl.ts";
import { IMPORTANCE_SAMPLING_LEVELS, type PolicyObjective, policyObjective } from "../../losses/policy-objective.ts";
import { DEFAULT_LOSS_TYPE, losses, lossOptionShape } from "../../losses/registry.ts";
import { SAMPLER_CORRECTIONS } from "../../losses/sampler-correction.ts";
import { cachedBy } from "../../registry.ts";
import { rewardSpecSchema } from "../../rewards/spec.ts";
import { ADVANTAGES, REWARD_AGGREGATIONS, SCALE_REWARDS } from "../../rollout/advantages.ts";
import type { SamplingOptions } from "../../rollout/collect.ts";
import { optimizerShape } from "../optimizer-config.ts";

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

/** The policy term of the loss, by name, and the options of all losses. */
const lossShape = () => ({
  lossType: z
    .enum(losses.names)
    .default(DEFAULT_LOSS_TYPE)
    .describe("the policy term and how it is averaged, as TRL names them"),
  importanceSamplingLevel: z
    .enum(IMPORTANCE_SAMPLING_LEVELS)
    .default("token")
    .describe("whose ratio counts: each token's, or the sequence's mean (GSPO, best with lossType grpo)"),
  ...lossOptionShape(),
});

/** Which tokens and completions count. */
const policyShape = {
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

/** Keys and defaults, for recipes that add keys of their own; losses bring options. */
export const grpoShape = cachedBy([losses], () => ({
  iterations: z.int().min(1).describe("sample-then-update cycles"),
  rewards: z.array(rewardSpecSchema).min(1).describe("what a completion is judged by; scores are added up"),
  promptsPerIteration: z.int().min(1).describe("problems per iteration; each gets one group of completions"),
  groupSize: z.int().min(1).default(8).describe("completions per problem; the group's mean reward is the baseline"),
  updatesPerIteration: z.int().min(1).default(1).describe("passes over an iteration's completions (the paper's μ)"),
  minibatchesPerIteration: z.int().min(1).default(1).describe("optimizer steps per pass; divides promptsPerIteration"),
  temperature: z.number().positive().default(1).describe("softmax temperature, in sampling and in the loss"),
  topP: z.number().positive().max(1).default(1).describe("nucleus sampling; 1 is off"),
  topK: z.int().min(0).default(0).describe("sampling from the k most probable tokens; 0 is off"),
  maxCompletionTokens: z.int().min(1).describe("longest completion; the sampler cuts there"),
  maxStaleness: z
    .int()
    .min(0)
    .max(1)
    .default(0)
    .describe(
      "by how many iterations the weights that sample may be older than those that are trained: with 1 the next completions are sampled while these are judged and trained on; the loss's ratio, or samplerCorrection, corrects for it; 0 waits",
    ),
  ...advantageShape,
  ...lossShape(),
  ...policyShape,
  ...klShape,
  ...optimizerShape,
}));

/** Optimizer steps of the whole stage, each pass over each minibatch counted. */
export function grpoTotalSteps(
  config: Pick<GrpoConfig, "iterations" | "updatesPerIteration" | "minibatchesPerIteration">,
): number {
  return config.iterations * config.updatesPerIteration * config.minibatchesPerIteration;
}

/** How the completions of an iteration are drawn. */
export function samplingOptions(config: GrpoConfig, seed: number, iteration: number): SamplingOptions {
  const { temperature, topP, topK, maxCompletionTokens } = config;
  return { temperature, topP, topK, maxCompletionTokens, seed, iteration, returnKeptTokens: true };
}

/** What the optimizer steps minimise. A KL divergence in the reward is no part of it. */
export function objectiveOf(config: GrpoConfig): PolicyObjective {
  const { klPlacement, klCoef, neftuneNoiseAlpha: _, ...keys } = config;
  return policyObjective({ ...keys, klCoef: klPlacement === "loss" ? klCoef : 0 });
}

/** Keys of GRPO, checked. */
export type GrpoConfig = z.infer<z.ZodObject<ReturnType<typeof grpoShape>>>;
