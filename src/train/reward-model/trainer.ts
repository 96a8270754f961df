/** The trainer of reward models. */

import { tasks } from "../../tasks/registry.ts";
import type { Examination } from "../examination.ts";
import { type GivenDataTrial, givenData } from "../given-data.ts";
import { defineTrainer } from "../trainer.ts";
import { type RewardModelConfig, rewardModelIssues, rewardModelShape } from "./config.ts";
import { checkRewardModel, trainRewardModel } from "./reward-model.ts";
import { rewardModelStarter } from "./starter.ts";

const pairs = givenData("pairs", "num_pairs");

const examination: Examination<RewardModelConfig, "rewardModel", GivenDataTrial> = {
  learningRate: pairs.learningRate,
  units: pairs.units,
  longestRead: ({ maxTokens }) => (maxTokens === undefined ? undefined : { tokens: maxTokens, isCut: false }),
  overData: (config, trainCount) => pairs.overData(config, trainCount, config.batchPairs),
  memory: ({ maxTokens, batchPairs }, { contextTokens }) => {
    const longest = maxTokens ?? contextTokens;
    return { trained: { tokens: 2 * batchPairs * longest, longest } };
  },
  trial: (parts, config) => pairs.trial(parts, config, trainRewardModel),
  trialFindings: (_, trial) => pairs.trialFindings(trial),
  figures: (config, { steps, trial }) => ({
    ...pairs.figures(config.steps ?? steps, trial),
    promptsPerStep: config.batchPairs,
    completionsPerStep: 2 * config.batchPairs,
    tokensPerStep: trial?.tokensPerStep ?? null,
  }),
};

export const rewardModelTrainer = defineTrainer({
  name: "reward_model",
  trains: "rewardModel",
  unit: "step",
  shape: () => rewardModelShape,
  issues: rewardModelIssues,
  recipeIssues: (_, { task }) => {
    const withPairs = tasks.all
      .filter(({ hasPreferences }) => hasPreferences)
      .map(({ name }) => name)
      .join(" or ");
    const message = `reward_model learns from pairs of answers: take the task ${withPairs}`;
    return tasks.get(task.name).hasPreferences ? [] : [{ path: ["task", "name"], message }];
  },
  check: checkRewardModel,
  train: trainRewardModel,
  words: {
    title: "a reward model: learning from pairs which of two answers is preferred",
    explain: ({ batchPairs }) =>
      "Learning to judge: the model reads two answers to a prompt, of which one was preferred, and learns to give that " +
      `one the higher score, ${batchPairs} pairs a step. accuracy is the share of pairs that it ranks right.`,
  },
  curves: [
    {
      title: "Ranked right",
      caption: "Share of training pairs whose preferred answer gets the higher reward, and the same of held-out pairs.",
      metrics: { accuracy: "training pairs" },
      yMin: 0,
      yMax: 1,
      isShare: true,
      heldOut: "accuracy",
    },
  ],
  starter: rewardModelStarter,
  examination,
});
