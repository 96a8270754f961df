/** What a data step's configuration says by itself, and against the model that it samples and its task. */

import type { DataStepConfig, DataStepName } from "../data-steps/config.ts";
import { AhaError } from "../errors.ts";
import { singleTasks } from "../recipe/task-paths.ts";
import type { Task } from "../tasks/task.ts";
import { requireRewardColumns } from "../train/grpo/config.ts";
import type { ExaminedStage } from "./examined-pipeline.ts";
import type { DataStepFigures, Finding, ModelFigures } from "./finding.ts";
import { refusal } from "./finding.ts";

/** A stage that makes a data set. */
export type DataStage = ExaminedStage & {
  readonly work: { readonly kind: DataStepName; readonly config: DataStepConfig };
};

/** What is known about a data step. */
export interface DataStepKnowledge {
  readonly model: ModelFigures | undefined;
  /** maxCompletionTokens of the GRPO that trained the model; undefined: none did. */
  readonly trainedAt: number | undefined;
  readonly task: Task | undefined;
}

/** A data step in numbers. */
export function dataStepFigures({ name, work: { kind, config } }: DataStage): DataStepFigures {
  if (!("samples" in config)) return { name, step: kind, prompts: null, completions: null, maxCompletionTokens: null };
  const { prompts, samples, maxCompletionTokens } = config;
  return { name, step: kind, prompts, completions: prompts * samples, maxCompletionTokens };
}

/** Findings of a data step. */
export function dataStepFindings({ name, work: { kind, config } }: DataStage, known: DataStepKnowledge): Finding[] {
  if (!("samples" in config)) return [];
  const found: Finding[] = [];
  const add = (severity: Finding["severity"], id: string, measured: string, why: string, advice: string) =>
    found.push({ severity, id, stage: name, measured, why, advice });
  const { model, trainedAt, task } = known;
  const { samples, temperature, maxCompletionTokens, prompts, firstPrompt } = config;
  const context = model?.contextTokens ?? null;
  if (temperature === 0 && samples > 1)
    add(
      kind === "preferences" ? "error" : "warning",
      "samples-alike",
      `${samples} samples of a prompt at temperature 0`,
      kind === "preferences" ? "they are equal, so there are no pairs" : "they are equal, and one of them is kept",
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
  if ("method" in config && config.method === "few-shot" && task.demonstrate === undefined)
    found.push(refusal("task", `method few-shot: the task ${task.name} has no demonstrations to show`, name));
  const rewards = config.keep.flatMap(({ reward, options = {} }) =>
    reward === undefined ? [] : [{ name: reward, weight: 1, options }],
  );
  try {
    requireRewardColumns(rewards, task);
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    found.push(refusal("reward-columns", error.message, name));
  }
  return found;
}

/** Countdown and math think before they answer. */
const isReasoning = ({ name }: { readonly name: string }) => name === "countdown" || name === "math";
