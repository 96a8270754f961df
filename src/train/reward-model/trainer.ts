/** The trainer of reward models. */

import { tasks } from "../../tasks/registry.ts";
import type { Examination } from "../examination.ts";
import {
  type GivenDataTrial,
  givenDataFigures,
  givenDataOverData,
  givenDataTrial,
  givenDataTrialFindings,
  TRIAL_STEPS,
} from "../given-data.ts";
import { defineTrainer } from "../trainer.ts";
import { recordedStage, WITHOUT_CHANGE } from "../trial.ts";
import { type RewardModelConfig, rewardModelIssues, rewardModelShape } from "./config.ts";
import { checkRewardModel, trainRewardModel } from "./reward-model.ts";

const EXAMPLES = "pairs";

const examination: Examination<RewardModelConfig, "rewardModel", GivenDataTrial> = {
  learningRate: ({ learningRate }) => ({ peak: learningRate, method: "supervised" }),
  units: ({ steps }) => steps,
  longestRead: ({ maxTokens }) => (maxTokens === undefined ? undefined : { tokens: maxTokens, isCut: false }),
  overData: (config, trainCount) =>
    givenDataOverData(config, trainCount, { examplesPerStep: config.batchPairs, examples: EXAMPLES }),
  memory: ({ maxTokens, batchPairs }, { contextTokens }) => {
    const longest = maxTokens ?? contextTokens;
    return { trained: { tokens: 2 * batchPairs * longest, longest } };
  },
  trial: async (parts, config) => {
    const recorded = recordedStage(parts);
    await trainRewardModel(recorded.context, {
      ...{ ...config, ...WITHOUT_CHANGE, epochs: undefined, steps: TRIAL_STEPS },
    });
    return givenDataTrial(recorded, "num_pairs");
  },
  trialFindings: (_, trial) => givenDataTrialFindings(trial, EXAMPLES),
  figures: (config, { steps, trial }) => ({
    ...givenDataFigures(config.steps ?? steps, trial),
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
  examination,
});
