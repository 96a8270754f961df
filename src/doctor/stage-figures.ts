/** The batch arithmetic of a stage, and the time that it will take, from its keys and what a trial measured. */

import type { StageConfig } from "../recipe/schema.ts";
import type { StageNumbers, StageTrial } from "../train/examination.ts";
import { trainers } from "../train/trainers.ts";
import type { StageFigures } from "./diagnosis.ts";
import type { PromptLengths } from "./task-findings.ts";

/** What is known about a stage. */
export interface StageKnowledge {
  readonly prompts: PromptLengths | undefined;
  readonly epochs: number | undefined;
  /** Optimizer steps, where the data decide. */
  readonly steps: number | undefined;
  /** Mean length of the completions that a stage before it teaches to write. */
  readonly taughtTokens: number | undefined;
  readonly trial: StageTrial | undefined;
}

/** Where nothing is known. */
const UNKNOWN: StageNumbers = {
  ...{ iterations: null, optimizerSteps: null, stepsPerIteration: null },
  ...{ promptsPerIteration: null, completionsPerIteration: null },
  ...{ promptsPerStep: null, completionsPerStep: null, tokensPerStep: null },
  ...{ epochs: null, meanPromptTokens: null, maxPromptTokens: null, maxCompletionTokens: null },
  ...{ sampledCompletions: null, meanCompletionTokens: null, truncatedShare: null, zeroVarianceShare: null },
  ...{ solveRate: null, rewardMeans: null, samplingTokensPerSecond: null, trainingTokensPerSecond: null },
  ...{ estimatedSeconds: null, longestSeconds: null },
};

/** A stage in numbers. */
export function stageFigures(
  stage: StageConfig,
  { prompts, epochs, steps, taughtTokens, trial }: StageKnowledge,
): StageFigures {
  const own = trainers.get(stage.trainer).examination?.figures?.(stage, {
    ...{ meanPromptTokens: prompts?.mean, steps, taughtTokens, trial },
  });
  return {
    ...{ name: stage.name, trainer: stage.trainer, ...UNKNOWN },
    epochs: epochs ?? null,
    meanPromptTokens: prompts?.mean ?? null,
    maxPromptTokens: prompts?.max ?? null,
    trainingTokensPerSecond: trial?.trainingTokensPerSecond ?? null,
    ...own,
  };
}
