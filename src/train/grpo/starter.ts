/** GRPO, as `aha init` offers it: behind a stage that imitates, as R1, or alone, as R1-Zero. */

import { type Starter, starterNumber } from "../starter.ts";

export const grpoStarter: Starter = {
  rank: 1,
  learnsFrom: ["prompts"],
  choices: [
    {
      name: "r1",
      means: "it is shown the form of an answer (sft), then rewarded for right ones (grpo)",
      coldStart: "always",
    },
    {
      name: "grpo",
      means: "reinforcement learning alone: it is rewarded for right answers",
      coldStart: "never",
    },
  ],
  isRewarded: true,
  question: (who, what) => `Does reward for right answers teach ${who} ${what}?`,
  stage: ({ numbers: { sampling, isMeasured }, rewards }) => [
    "- name: reinforcement",
    "  trainer: grpo # samples answers, and makes those more probable that score above their group's mean",
    `  iterations: ${sampling.iterations}`,
    `  promptsPerIteration: ${sampling.prompts}`,
    `  groupSize: ${sampling.group} # answers to each; where all of them score the same, nothing is learned`,
    `  maxCompletionTokens: ${sampling.tokens} # longer answers are cut, and a cut one is seldom right`,
    "  rewards: # aha reward --list shows all",
    ...rewards.map((line) => `    ${line}`),
    "  klCoef: 0 # above 0 holds it near to where it began",
    `  learningRate: ${starterNumber(sampling.learningRate)}`,
    ...(isMeasured ? ["  schedule: linear", "  beta2: 0.95"] : []),
    `  warmupSteps: ${sampling.warmupSteps}`,
    `  checkpointEvery: ${sampling.checkpointEvery}`,
  ],
};
