/** Reward models, as `aha init` offers them. */

import { type Starter, starterNumber } from "../starter.ts";

export const rewardModelStarter: Starter = {
  rank: 2,
  learnsFrom: ["pairs"],
  choices: [{ name: "reward_model", means: "it learns which of two answers people prefer", coldStart: "never" }],
  question: (who) => `Does ${who} learn which of two answers is preferred?`,
  stage: ({ numbers: { pairs } }) => [
    "- name: reward-model",
    "  trainer: reward_model # learns from pairs which answer is preferred",
    `  steps: ${pairs.steps}`,
    `  batchPairs: ${pairs.batchPairs}`,
    "  centerRewardsCoefficient: 0.01 # holds rewards around 0",
    `  learningRate: ${starterNumber(pairs.learningRate)}`,
    `  checkpointEvery: ${pairs.checkpointEvery}`,
  ],
};
