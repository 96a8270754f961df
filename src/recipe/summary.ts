/**
 * Which states of the policy a run's summary compares.
 *
 * "After" is the end of the last stage. "Before" is the policy that reinforcement learning started from: the state
 * before the first stage that learns from its own answers; where there is none, the start of the run. The
 * evaluation before the first stage (random weights, in a recipe that starts from them) is there too, under `start`.
 */

import type { EvaluationRecord } from "../run/records.ts";
import type { EvaluatedState, RunSummary } from "../run/summary.ts";
import { trainers } from "../train/trainers.ts";
import type { Recipe } from "./schema.ts";

/** Index of the stage before which "before" is. */
function comparedStage(recipe: Recipe): number {
  return Math.max(
    0,
    recipe.stages.findIndex(({ trainer }) => trainers.get(trainer).isOnPolicy),
  );
}

/** The start, "before" and "after", found among the run's evaluations. */
export function comparedStates(
  recipe: Recipe,
  evaluations: readonly EvaluationRecord[],
): Pick<RunSummary, "start" | "before" | "after"> {
  return {
    start: stateBefore(recipe, 0, evaluations),
    before: stateBefore(recipe, comparedStage(recipe), evaluations),
    after: stateBefore(recipe, recipe.stages.length, evaluations),
  };
}

/** The state before stage `index`, which is the state after the one before it. */
function stateBefore(recipe: Recipe, index: number, evaluations: readonly EvaluationRecord[]): EvaluatedState {
  const stage = recipe.stages[Math.max(0, index - 1)]!.name;
  const moment = index === 0 ? "before" : "after";
  const find = (decoding: EvaluationRecord["decoding"]) =>
    evaluations.find((record) => record.stage === stage && record.moment === moment && record.decoding === decoding);
  const sampled = find("sampled")!;
  const greedy = find("greedy");
  return {
    ...sampled.statistics,
    afterStage: index === 0 ? null : stage,
    moment: momentInWords(recipe, index),
    intervals: sampled.intervals,
    ...(greedy && { greedy: greedy.statistics }),
  };
}

function momentInWords(recipe: Recipe, index: number): string {
  const before = recipe.stages[index - 1]?.name;
  const after = recipe.stages[index]?.name;
  if (before === undefined) return recipe.model.init ? `random weights, before ${after}` : `before ${after}`;
  return after === undefined ? `after ${before}` : `after ${before}, before ${after}`;
}
