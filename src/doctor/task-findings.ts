/** What the task's problems say: their lengths against the model's context, and whether held-out problems are among those
 * that are trained on. */

import { type Finding, inStage } from "../findings.ts";
import type { Recipe } from "../recipe/schema.ts";
import { sumOf } from "../statistics.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainers } from "../train/trainers.ts";

/** Training problems that are looked at: enough to find what is common, few enough to take a second. */
const LOOKED_AT = 2000;
/** Above this share of held-out problems in training, the evaluation measures memorisation. */
const OVERLAP_ERROR = 0.01;

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
  const total = sumOf(lengths);
  return { mean: total / lengths.length, max: lengths.reduce((a, b) => Math.max(a, b), 0), lengths };
}

/** Prompts that leave no room for the longest completion. */
export function promptLengthFindings({ stages }: Recipe, { lengths, max }: PromptLengths, context: number): Finding[] {
  return stages.flatMap((stage): Finding[] => {
    const completion = trainers.get(stage.trainer).examination?.maxCompletionTokens?.(stage);
    if (completion === undefined) return [];
    const limit = context - completion;
    const tooLong = lengths.filter((length) => length > limit).length;
    if (tooLong === 0) return [];
    const finding = {
      ...({ severity: "error", id: "prompt-too-long" } as const),
      measured:
        `${tooLong} of ${lengths.length} prompts, the longest of ${max} tokens, with maxCompletionTokens ` +
        `${completion} exceed the context of ${context}`,
      why: "the run is refused before its first step",
      advice:
        limit > 0 && max < context
          ? `set maxCompletionTokens to ${context - max} or less`
          : "leave these prompts out, or take a model with a longer context",
    };
    return [inStage(finding, stage.name)];
  });
}

/** A tokenizer whose end of sequence is not the chat template's end of a turn: usual for base models. */
export function turnEndFindings(task: Task, training: readonly Problem[], tokenizer: Tokenizer): Finding[] {
  const { eosTokenId, turnEndTokens } = tokenizer;
  const turnEnd = turnEndTokens?.at(-1);
  if (turnEnd === undefined || turnEnd === eosTokenId || !training.some((problem) => task.isTurn?.(problem))) return [];
  const shown = (id: number): string => JSON.stringify(tokenizer.decode([id], { keepSpecial: true }));
  const eos = eosTokenId === null ? "no end of sequence" : `${shown(eosTokenId)} as its end of sequence`;
  return [
    {
      severity: "note",
      id: "turn-end",
      measured: `the tokenizer has ${eos}, the chat template ends a turn with ${shown(turnEnd)}`,
      why: "answers are learned with the template's end, and Aha stops at both",
      advice: "nothing to do: generation_config.json of the trained model will name both, for other programs",
    },
  ];
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
      why: "evaluation measures what was memorised",
      advice: "remove duplicates from the data, or hold out by problem and not by row",
    },
  ];
}

/** The training problems that are looked at. */
export function firstProblems(task: Task): Problem[] {
  return Array.from({ length: Math.min(LOOKED_AT, task.trainCount) }, (_, index) => task.trainProblem(index));
}
