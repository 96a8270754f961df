/** The batch arithmetic of a stage, and the time that it will take, from its keys and what a probe measured. */

import type { StageConfig } from "../recipe/schema.ts";
import { distillTotalSteps } from "../train/distill/config.ts";
import { grpoTotalSteps } from "../train/grpo/config.ts";
import type { StageFigures } from "./finding.ts";
import type { GrpoProbe, SftProbe } from "./probe.ts";
import type { PromptLengths } from "./task-findings.ts";

/** What is known about a stage. */
export interface StageKnowledge {
  readonly prompts: PromptLengths | undefined;
  readonly epochs: number | undefined;
  /** Optimizer steps of a stage in epochs. */
  readonly steps: number | undefined;
  readonly probe: GrpoProbe | SftProbe | undefined;
}

/** Of a stage that samples nothing, or was not probed. */
const NOTHING_SAMPLED = {
  ...{ maxCompletionTokens: null, sampledCompletions: null, meanCompletionTokens: null, truncatedShare: null },
  ...{ zeroVarianceShare: null, solveRate: null, rewardMeans: null, samplingTokensPerSecond: null },
} as const;

/** A stage in numbers. */
export function stageFigures(stage: StageConfig, known: StageKnowledge): StageFigures {
  const { prompts, epochs, probe } = known;
  const shared = {
    name: stage.name,
    trainer: stage.trainer,
    epochs: epochs ?? null,
    meanPromptTokens: prompts?.mean ?? null,
    maxPromptTokens: prompts?.max ?? null,
    trainingTokensPerSecond: probe?.trainingTokensPerSecond ?? null,
  };
  if (stage.trainer === "sft") {
    const sft = probe?.kind === "sft" ? probe : undefined;
    const steps = stage.steps ?? known.steps;
    const seconds = sft && steps !== undefined ? (steps * sft.tokensPerStep) / sft.trainingTokensPerSecond : null;
    return {
      ...{ ...shared, ...NOTHING_SAMPLED },
      ...{ iterations: null, stepsPerIteration: null, promptsPerIteration: null, completionsPerIteration: null },
      optimizerSteps: steps ?? null,
      promptsPerStep: sft?.demonstrationsPerStep ?? null,
      completionsPerStep: sft?.demonstrationsPerStep ?? null,
      tokensPerStep: sft?.tokensPerStep ?? stage.batchTokens,
      ...{ estimatedSeconds: seconds, longestSeconds: seconds },
    };
  }
  if (stage.trainer === "reward_model") {
    const pairs = probe?.kind === "sft" ? probe : undefined;
    const steps = stage.steps ?? known.steps;
    const seconds = pairs && steps !== undefined ? (steps * pairs.tokensPerStep) / pairs.trainingTokensPerSecond : null;
    return {
      ...{ ...shared, ...NOTHING_SAMPLED },
      ...{ iterations: null, stepsPerIteration: null, promptsPerIteration: null, completionsPerIteration: null },
      optimizerSteps: steps ?? null,
      promptsPerStep: stage.batchPairs,
      completionsPerStep: 2 * stage.batchPairs,
      tokensPerStep: pairs?.tokensPerStep ?? null,
      ...{ estimatedSeconds: seconds, longestSeconds: seconds },
    };
  }
  if (stage.trainer === "distill") {
    const completions = stage.promptsPerIteration * stage.groupSize;
    return {
      ...{ ...shared, ...NOTHING_SAMPLED },
      iterations: stage.iterations,
      optimizerSteps: distillTotalSteps(stage),
      stepsPerIteration: stage.minibatchesPerIteration,
      promptsPerIteration: stage.promptsPerIteration,
      completionsPerIteration: completions,
      promptsPerStep: stage.promptsPerIteration / stage.minibatchesPerIteration,
      completionsPerStep: completions / stage.minibatchesPerIteration,
      tokensPerStep: null,
      maxCompletionTokens: stage.maxCompletionTokens,
      ...{ estimatedSeconds: null, longestSeconds: null },
    };
  }
  const grpo = probe?.kind === "grpo" ? probe : undefined;
  const { iterations, promptsPerIteration, groupSize, minibatchesPerIteration, updatesPerIteration } = stage;
  const completions = promptsPerIteration * groupSize;
  const prompt = grpo?.meanPromptTokens ?? prompts?.mean;
  const length = grpo?.meanCompletionTokens;
  const secondsAt = (completionTokens: number) => {
    if (grpo === undefined) return null;
    const sampling = (completions * completionTokens) / grpo.samplingTokensPerSecond;
    const trained = completions * (grpo.meanPromptTokens + completionTokens) * updatesPerIteration;
    return iterations * (sampling + trained / grpo.trainingTokensPerSecond);
  };
  return {
    ...shared,
    iterations,
    optimizerSteps: grpoTotalSteps(stage),
    stepsPerIteration: updatesPerIteration * minibatchesPerIteration,
    promptsPerIteration,
    completionsPerIteration: completions,
    promptsPerStep: promptsPerIteration / minibatchesPerIteration,
    completionsPerStep: completions / minibatchesPerIteration,
    tokensPerStep:
      prompt === undefined || length === undefined ? null : (completions / minibatchesPerIteration) * (prompt + length),
    maxCompletionTokens: stage.maxCompletionTokens,
    sampledCompletions: grpo?.completions ?? null,
    meanCompletionTokens: length ?? null,
    truncatedShare: grpo?.truncatedShare ?? null,
    zeroVarianceShare: grpo?.zeroVarianceShare ?? null,
    solveRate: grpo?.solveRate ?? null,
    rewardMeans: grpo
      ? Object.fromEntries([...grpo.rewards].map(([name, score]) => [name, score?.mean ?? null]))
      : null,
    samplingTokensPerSecond: grpo?.samplingTokensPerSecond ?? null,
    estimatedSeconds: length === undefined ? null : secondsAt(length),
    longestSeconds: secondsAt(stage.maxCompletionTokens),
  };
}
