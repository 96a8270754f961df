/** What the keys of a sampling step say by themselves, and against the model that it samples and its task. */

import { refusals, type Severity, type StageFinding } from "../findings.ts";
import { requireRewardColumns } from "../rewards/required-columns.ts";
import { singleTasks, tasks } from "../tasks/registry.ts";
import type { SamplingConfig } from "./config.ts";
import type { StepKnowledge } from "./step.ts";

/** What equal samples of a prompt mean for a step. */
interface EqualSamples {
  readonly severity: Severity;
  readonly why: string;
}

const KEPT_ONCE: EqualSamples = { severity: "warning", why: "they are equal, and one of them is kept" };

/** Findings of a sampling step; `ofEqualSamples` where these are worse than a waste. */
export function samplingFindings(
  config: SamplingConfig,
  { contextTokens: context, trainedAt, task }: StepKnowledge,
  ofEqualSamples: EqualSamples = KEPT_ONCE,
): StageFinding[] {
  const found: StageFinding[] = [];
  const add = (severity: Severity, id: string, measured: string, why: string, advice: string) =>
    found.push({ severity, id, measured, why, advice });
  const { samples, temperature, maxCompletionTokens, prompts, firstPrompt } = config;
  if (temperature === 0 && samples > 1)
    add(
      ofEqualSamples.severity,
      "samples-alike",
      `${samples} samples of a prompt at temperature 0`,
      ofEqualSamples.why,
      "set temperature to 0.6 or more, or samples to 1",
    );
  if (context !== null && maxCompletionTokens >= context)
    add(
      "error",
      "context",
      `maxCompletionTokens ${maxCompletionTokens}, context ${context}`,
      "no room is left for a prompt",
      "lower maxCompletionTokens",
    );
  if (trainedAt !== undefined && maxCompletionTokens < trainedAt && singleTasks(config.task).every(isReasoning))
    add(
      "warning",
      "sampled-shorter",
      `maxCompletionTokens ${maxCompletionTokens}; the model was trained with ${trainedAt}`,
      "long answers are cut and dropped, so the data hold the easy problems",
      "make the limits equal",
    );
  if (task === undefined) return found;
  if (firstPrompt + prompts > task.trainCount)
    add(
      "warning",
      "few-problems",
      `prompts ${firstPrompt} to ${firstPrompt + prompts - 1} of ${task.trainCount} problems`,
      "problems are asked again from the first on",
      `set prompts to ${Math.max(1, task.trainCount - firstPrompt)} or less`,
    );
  const rewards = config.keep.flatMap(({ reward, options = {} }) =>
    reward === undefined ? [] : [{ name: reward, options }],
  );
  return [...found, ...refusals("reward-columns", () => requireRewardColumns(rewards, task))];
}

const isReasoning = ({ name }: { readonly name: string }) => tasks.find(name)?.isReasoning === true;
