/** GRPO, as a trainer. */

import { count } from "../../number-text.ts";
import { requireRewardColumns } from "../../rewards/required-columns.ts";
import { createRewards } from "../../rewards/spec.ts";
import { rewardLabel } from "../../rewards/user/reference.ts";
import type { StageParts } from "../context.ts";
import { rewardDepsOf } from "../reward-scorer.ts";
import { withStageRewards } from "../reward-session.ts";
import { defineTrainer } from "../trainer.ts";
import { checkGrpo } from "./check.ts";
import { type GrpoConfig, grpoShape } from "./config.ts";
import { grpoExamination } from "./examination.ts";
import { trainGrpo } from "./grpo.ts";
import { grpoIssues } from "./issues.ts";
import { rewardModelsIn, rewardPathsOf } from "./reward-paths.ts";
import { grpoStarter } from "./starter.ts";

const REWARD_MODEL = {
  id: "reward-model",
  kind: "rewardModel",
  key: "rewards[].options.path",
  remedy: "train the reward model first (trainer: reward_model)",
} as const;

/** The trainer, as everybody else sees it. */
export const grpoTrainer = defineTrainer({
  name: "grpo",
  trains: "policy",
  unit: "iteration",
  isOnPolicy: true,
  lossIsNoMeasure: true,
  shape: grpoShape,
  issues: grpoIssues,
  recipeIssues: ({ refSyncSteps, refSyncMixup }, { model }, at) => {
    const hasAdapter = model.lora !== undefined || model.adapter !== undefined;
    if (!hasAdapter || refSyncSteps === 0 || refSyncMixup === 1) return [];
    const message = "the reference of an adapter can be replaced by the policy (refSyncMixup 1), not mixed with it";
    return [{ path: [...at, "refSyncMixup"], message }];
  },
  paths: rewardPathsOf,
  supportingModels: (config) => rewardModelsIn(config).map((path) => ({ ...REWARD_MODEL, path })),
  check: async (parts, config) => {
    requireRewardColumns(config.rewards, parts.task);
    checkGrpo(parts, config);
    await withStageRewards(stageRewards(parts, config), {}, async () => {});
  },
  train: (context, config) => trainGrpo(context, config, stageRewards(context, config)),
  // One step on each batch, on the policy: the ratio is 1, and the advantages of a group sum to 0.
  lossIsZero: ({ updatesPerIteration, minibatchesPerIteration, maxStaleness, klCoef, klPlacement, entropyCoef }) =>
    updatesPerIteration * minibatchesPerIteration === 1 &&
    maxStaleness === 0 &&
    (klCoef === 0 || klPlacement === "reward") &&
    entropyCoef === 0,
  words: {
    title: "GRPO: reinforcement learning from rule rewards",
    explain: ({ rewards, iterations, promptsPerIteration, groupSize }) =>
      `Learning by doing, without examples: in each of ${count(iterations)} iterations it gets ` +
      `${promptsPerIteration} problems and writes ${groupSize} answers to each. They are scored by ` +
      `${rewards.map(({ name, as }) => as ?? rewardLabel(name)).join(" + ")}. ` +
      "Answers that beat the average of their group become more likely, the others less. No example shows it how to think.",
  },
  starter: grpoStarter,
  examination: grpoExamination,
});

function stageRewards(parts: Pick<StageParts, "supportingCompute">, { rewards }: GrpoConfig) {
  return createRewards(rewards, rewardDepsOf(parts));
}
