/** What the task's problems say: their lengths against the model's context, how often they are seen, and whether held-out
 * problems are among those that are trained on. */

import type { Recipe, StageConfig } from "../recipe/schema.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Finding } from "./finding.ts";

/** Training problems that are looked at: enough to find what is common, few enough to take a second. */
const LOOKED_AT = 2000;
/** Above this share of held-out problems in training, what is measured is memory. */
const OVERLAP_ERROR = 0.01;
/** Passes over the data beyond which SFT learns it by heart. */
const MANY_EPOCHS = 10;

/** Lengths of prompts, in tokens. */
export interface PromptLengths {
  readonly mean: number;
  readonly max: number;
  readonly lengths: readonly number[];
}

/** Of the first training problems (all of them, where there are fewer) and the held-out ones. */
export function promptLengths(
  training: readonly Problem[],
  heldOut: readonly Problem[],
  tokenizer: Tokenizer,
): PromptLengths {
  const lengths = [...training, ...heldOut].map(({ prompt }) => tokenizer.encode(prompt).length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  return { mean: total / lengths.length, max: lengths.reduce((a, b) => Math.max(a, b), 0), lengths };
}

/** Prompts that leave no room for the longest completion. */
export function lengthFindings({ stages }: Recipe, { lengths, max }: PromptLengths, context: number): Finding[] {
  return stages.flatMap((stage): Finding[] => {
    if (stage.trainer !== "grpo" && stage.trainer !== "distill") return [];
    const limit = context - stage.maxCompletionTokens;
    const tooLong = lengths.filter((length) => length > limit).length;
    if (tooLong === 0) return [];
    return [
      {
        severity: "error",
        id: "prompt-too-long",
        stage: stage.name,
        measured:
          `${tooLong} of ${lengths.length} prompts, the longest of ${max} tokens, with maxCompletionTokens ` +
          `${stage.maxCompletionTokens} exceed the context of ${context}`,
        why: "the run is refused before its first step",
        advice:
          limit > 0 && max < context
            ? `set maxCompletionTokens to ${context - max} or less`
            : "leave these prompts out, or take a model with a longer context",
      },
    ];
  });
}

/** Held-out problems that training sees too. */
export function overlapFindings(training: readonly Problem[], heldOut: readonly Problem[]): Finding[] {
  const seen = new Set(training.map(({ prompt }) => prompt));
  const both = heldOut.filter(({ prompt }) => seen.has(prompt)).length;
  if (both === 0) return [];
  const share = both / heldOut.length;
  return [
    {
      severity: share > OVERLAP_ERROR ? "error" : "warning",
      id: "evaluation-overlap",
      measured: `${both} of ${heldOut.length} held-out prompts are among the first ${seen.size} distinct training prompts`,
      why: "evaluation measures what was learned by heart",
      advice: "remove duplicates from the data, or hold out by problem and not by row",
    },
  ];
}

/** Passes over the data by a stage; undefined where it is endless or the batch is counted in tokens. */
export function epochsOf(stage: StageConfig, task: Task, tokensPerDemonstration?: number): number | undefined {
  if (!Number.isFinite(task.trainCount)) return undefined;
  if ("iterations" in stage) return (stage.iterations * stage.promptsPerIteration) / task.trainCount;
  if (stage.epochs !== undefined) return stage.epochs;
  if (stage.trainer === "reward_model") return (stage.steps! * stage.batchPairs) / task.trainCount;
  const perStep = demonstrationsPerStep(stage, tokensPerDemonstration);
  return perStep === undefined ? undefined : (stage.steps! * perStep) / task.trainCount;
}

/** What a step of SFT holds; undefined where demonstrations were not measured and only tokens are counted. */
function demonstrationsPerStep(
  { batchTokens, batchDemonstrations }: Extract<StageConfig, { trainer: "sft" }>,
  tokensPerDemonstration: number | undefined,
): number | undefined {
  if (tokensPerDemonstration === undefined) return batchDemonstrations;
  return Math.min(batchTokens / tokensPerDemonstration, batchDemonstrations ?? Number.POSITIVE_INFINITY);
}

/**
 * Optimizer steps of a stage in epochs, from the size of its data; undefined where the recipe says steps, or where the
 * batch is counted in tokens and demonstrations were not measured.
 */
export function stepsOfEpochs(stage: StageConfig, task: Task, tokensPerDemonstration?: number): number | undefined {
  if (!("epochs" in stage) || stage.epochs === undefined || !Number.isFinite(task.trainCount)) return undefined;
  const seen = Math.ceil(stage.epochs * task.trainCount);
  if (stage.trainer === "reward_model") return Math.ceil(seen / stage.batchPairs);
  const perStep = demonstrationsPerStep(stage, tokensPerDemonstration);
  return perStep === undefined ? undefined : Math.ceil(seen / perStep);
}

/** A warm-up that is longer than what the epochs come to. */
export function warmupFindings(stage: StageConfig, steps: number | undefined): Finding[] {
  if (steps === undefined || stage.warmupSteps <= steps) return [];
  return [
    {
      severity: "error",
      id: "warmup",
      stage: stage.name,
      measured: `warmupSteps ${stage.warmupSteps}, about ${steps} optimizer steps in its epochs`,
      why: "the run is refused before its first step",
      advice: `set warmupSteps to a tenth, ${Math.floor(steps / 10)}`,
    },
  ];
}

/** Too little data for a stage. */
export function epochFindings(stage: StageConfig, task: Task, epochs: number | undefined): Finding[] {
  const found: Finding[] = [];
  if (stage.trainer === "grpo" && stage.promptsPerIteration > task.trainCount) {
    found.push({
      severity: "warning",
      id: "few-problems",
      stage: stage.name,
      measured: `promptsPerIteration ${stage.promptsPerIteration}, problems ${task.trainCount}`,
      why: "an iteration holds the same problem several times",
      advice: `set promptsPerIteration to ${task.trainCount} or less, or bring more data`,
    });
  }
  if ((stage.trainer === "sft" || stage.trainer === "reward_model") && epochs !== undefined && epochs > MANY_EPOCHS) {
    found.push({
      severity: "warning",
      id: "many-epochs",
      stage: stage.name,
      measured: `${epochs.toFixed(1)} passes over ${task.trainCount} ${stage.trainer === "sft" ? "demonstrations" : "pairs"}`,
      why: "so many passes teach the data by heart",
      advice: "take fewer steps or more data; 1 to 3 passes are usual",
    });
  }
  return found;
}

/** The training problems that are looked at. */
export function firstProblems(task: Task): Problem[] {
  return Array.from({ length: Math.min(LOOKED_AT, task.trainCount) }, (_, index) => task.trainProblem(index));
}
