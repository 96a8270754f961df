/** On-policy distillation, as `aha init` offers it. */

import { type Starter, starterNumber } from "../starter.ts";

export const distillStarter: Starter = {
  rank: 4,
  learnsFrom: ["prompts"],
  choices: [
    {
      name: "distill",
      means: "a larger model (the teacher) judges every token that it writes",
      coldStart: "forNewModels",
    },
  ],
  needsTeacher: true,
  question: (who) => `Does ${who} come closer to its teacher on its own answers?`,
  stage: ({ numbers: { sampling }, teacher }) => [
    "- name: distillation",
    "  trainer: distill # the teacher says of every token that the student writes how probable it finds it",
    `  teacher: { path: ${teacher} } # has the student's tokenizer`,
    `  iterations: ${sampling.iterations}`,
    `  promptsPerIteration: ${2 * sampling.prompts}`,
    `  maxCompletionTokens: ${sampling.tokens}`,
    `  learningRate: ${starterNumber(sampling.learningRate)}`,
    `  checkpointEvery: ${sampling.checkpointEvery}`,
  ],
};
