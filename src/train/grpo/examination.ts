/** What the doctor asks about a GRPO stage. */

import { refusals } from "../../findings.ts";
import { requireRewardColumns } from "../../rewards/required-columns.ts";
import type { Examination, StageKnown, StageNumbers } from "../examination.ts";
import { type GrpoConfig, grpoTotalSteps } from "./config.ts";
import { grpoFindings } from "./findings.ts";
import { type GrpoTrial, tryGrpo } from "./trial.ts";
import { grpoTrialFindings } from "./trial-findings.ts";

export const grpoExamination: Examination<GrpoConfig, "policy", GrpoTrial> = {
  learningRate: ({ learningRate }) => ({ peak: learningRate, method: "reinforcement" }),
  findings: grpoFindings,
  units: ({ iterations }) => iterations,
  maxCompletionTokens: ({ maxCompletionTokens }) => maxCompletionTokens,
  taskFindings: ({ rewards }, task) => refusals("reward-columns", () => requireRewardColumns(rewards, task)),
  overData: ({ iterations, promptsPerIteration }, trainCount) => {
    const epochs = Number.isFinite(trainCount) ? (iterations * promptsPerIteration) / trainCount : undefined;
    if (promptsPerIteration <= trainCount) return { epochs };
    const measured = `promptsPerIteration ${promptsPerIteration}, problems ${trainCount}`;
    const advice = `set promptsPerIteration to ${trainCount} or less, or bring more data`;
    const why = "an iteration holds the same problem several times";
    return { epochs, findings: [{ severity: "warning", id: "few-problems", measured, why, advice }] };
  },
  memory: ({ promptsPerIteration, groupSize, maxCompletionTokens, klCoef, maxStaleness }, { promptTokens }) => {
    const [sequences, length] = [promptsPerIteration * groupSize, promptTokens + maxCompletionTokens];
    return {
      trained: { tokens: sequences * length, longest: length },
      sampled: { sequences, length },
      hasReference: klCoef > 0,
      hasSnapshot: maxStaleness > 0,
    };
  },
  trial: tryGrpo,
  trialFindings: grpoTrialFindings,
  figures,
};

function figures(
  stage: GrpoConfig,
  { meanPromptTokens, trial, taughtTokens }: StageKnown<GrpoTrial>,
): Partial<StageNumbers> {
  const { iterations, promptsPerIteration, groupSize, minibatchesPerIteration, updatesPerIteration } = stage;
  const completions = promptsPerIteration * groupSize;
  const prompt = trial?.meanPromptTokens ?? meanPromptTokens;
  const sampledLength = trial?.sampling.meanCompletionTokens;
  const length = trial && Math.min(taughtTokens ?? sampledLength!, stage.maxCompletionTokens);
  const secondsAt = (completionTokens: number) => {
    if (trial === undefined) return null;
    const sampling = (completions * completionTokens) / trial.sampling.tokensPerSecond;
    const trained = completions * (trial.meanPromptTokens + completionTokens) * updatesPerIteration;
    return iterations * (sampling + trained / trial.trainingTokensPerSecond);
  };
  return {
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
    sampledCompletions: trial?.completions ?? null,
    meanCompletionTokens: sampledLength ?? null,
    truncatedShare: trial?.truncatedShare ?? null,
    zeroVarianceShare: trial?.zeroVarianceShare ?? null,
    solveRate: trial?.solveRate ?? null,
    rewardMeans: trial
      ? Object.fromEntries([...trial.rewards].map(([name, score]) => [name, score?.mean ?? null]))
      : null,
    samplingTokensPerSecond: trial?.sampling.tokensPerSecond ?? null,
    estimatedSeconds: length === undefined ? null : secondsAt(length),
    longestSeconds: secondsAt(stage.maxCompletionTokens),
  };
}
