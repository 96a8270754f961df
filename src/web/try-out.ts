/**
 * What the model writes by itself while it still reads demonstrations, so that one sees its answers take form. They are judged
 * by R1-Zero's rules, and neither trained on nor logged: a draw is a function of the seed and the step, so a run with
 * try-outs leaves the bytes of one without.
 */

import type { Sampler } from "../engine/contract/sampler.ts";
import type { RecipeParts } from "../recipe/trained-model.ts";
import { createRewards, type RewardSpec } from "../rewards/spec.ts";
import { judgeCompletions, sampleCompletions, trainProblems } from "../rollout/collect.ts";
import { mean } from "../statistics.ts";
import type { RolloutRow } from "../train/context.ts";
import { rolloutRow } from "../train/rollout-row.ts";
import type { PhaseMessage, TryOutResult } from "./protocol.ts";
import { r1ZeroOf } from "./tab-recipe.ts";

const PROBLEMS = 8;
const ANSWERS_EACH = 8;

/** Most of the form is learned early. */
export function isTryOutDue(step: number): boolean {
  const every = step < 50 ? 10 : step < 200 ? 50 : 200;
  return step % every === 0;
}

/** A try-out: its numbers, and the answers as a group is made of them. */
export interface TryOut {
  readonly result: TryOutResult;
  readonly rows: readonly RolloutRow[];
}

/** Samples with `sampler` after `step` steps, and judges. */
export async function tryOut(
  sampler: Sampler,
  { recipe, tokenizer, task }: Pick<RecipeParts, "recipe" | "tokenizer" | "task">,
  step: number,
  onProgress: (progress: Pick<PhaseMessage, "done" | "total">) => void,
): Promise<TryOut> {
  const stage = r1ZeroOf(recipe) as unknown as {
    readonly temperature: number;
    readonly maxCompletionTokens: number;
    readonly rewards: readonly RewardSpec[];
  };
  const { temperature, maxCompletionTokens } = stage;
  const drawing = { temperature, topP: 1, topK: 0, maxCompletionTokens, seed: recipe.seed, iteration: step };
  const problems = [...trainProblems(task, 0, PROBLEMS)];
  const completions = await sampleCompletions(
    sampler,
    tokenizer,
    problems,
    ANSWERS_EACH,
    drawing,
    ({ finished, total }) => onProgress({ done: finished, total }),
  );
  const judged = await judgeCompletions(completions, task, createRewards(stage.rewards));
  const share = (isSo: (rollout: (typeof judged)[number]) => boolean) => mean(judged.map((one) => Number(isSo(one))));
  return {
    result: {
      ...{ step, answers: judged.length },
      formatRate: share(({ verdict }) => verdict.wellFormed),
      solveRate: share(({ verdict }) => verdict.solved),
    },
    rows: judged.map((rollout) => rolloutRow(rollout, 0, step)),
  };
}
