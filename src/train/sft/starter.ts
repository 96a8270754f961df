/** Supervised fine-tuning, as `aha init` offers it. */

import { type Starter, starterNumber } from "../starter.ts";

export const sftStarter: Starter = {
  rank: 3,
  learnsFrom: ["demonstrations"],
  choices: [{ name: "sft", means: "it imitates worked examples", coldStart: "never" }],
  isColdStart: true,
  question: (who, what) => `Does ${who} learn ${what} from worked examples?`,
  stage: ({ numbers: { examples, isMeasured } }) => [
    "- name: cold-start",
    "  trainer: sft # imitates worked examples",
    `  steps: ${examples.steps}`,
    `  batchTokens: ${examples.batchTokens} # of a step, prompts and answers together`,
    `  learningRate: ${starterNumber(examples.learningRate)}`,
    "  schedule: cosine",
    `  warmupSteps: ${examples.warmupSteps}`,
    ...(isMeasured ? ["  minLearningRateRatio: 0.05", "  beta2: 0.95", "  weightDecay: 0.01"] : []),
    `  checkpointEvery: ${examples.checkpointEvery}`,
  ],
};
