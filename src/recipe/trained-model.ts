/**
 * What a recipe trains: a policy, which writes and is tested by its answers, or a reward model, which scores and is tested
 * by pairs. The trainers of its stages say which; here is how the model is opened and tested. All else of a run is the same
 * for both.
 */

import type { Computing } from "../compute/computing.ts";
import type { PolicySource } from "../engine/engine-kind.ts";
import { openEngine, openRewardModel, specBeside } from "../engine/open.ts";
import { type EvaluatedSoFar, type Evaluation, evaluate } from "../eval/evaluate.ts";
import { evaluatePairs, scorablePairs } from "../eval/evaluate-pairs.ts";
import { ALL_LORA_TARGETS } from "../model/lora.ts";
import { hashString, philox } from "../random.ts";
import { requirePromptsFit } from "../rollout/collect.ts";
import type { EvaluationRecord } from "../run/records.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Reach, StageParts, TrainedKind, TrainedModels } from "../train/context.ts";
import { trainers } from "../train/trainers.ts";
import { requireMetric, requirePairMetric } from "./best-checkpoint.ts";
import { decodingOptions, decodingsAt } from "./evaluation.ts";
import type { Recipe, StageConfig } from "./schema.ts";

/** An engine with the model that a recipe trains. */
export type TrainedEngine = TrainedModels[TrainedKind];

/** What a recipe names, open. */
export interface RecipeParts<Kind extends TrainedKind = TrainedKind> {
  readonly recipe: Recipe;
  readonly engine: TrainedModels[Kind];
  /** What this process computes with: for models beside the engine's. */
  readonly compute: Computing;
  /** What rewards and teachers may need beside it. */
  readonly reach: Reach;
  readonly tokenizer: Tokenizer;
  readonly task: Task;
  readonly heldOut: readonly Problem[];
}

/** How a model of one kind is opened and tested. */
interface ModelProgram<Kind extends TrainedKind> {
  /** Opens the engine on the model in `directory`. The caller disposes of it. */
  open(recipe: Recipe, directory: string, tokenizer: Tokenizer, compute: Computing): Promise<TrainedModels[Kind]>;
  /** Refuses held-out problems that the model could not be tested on. Throws ConfigError. */
  checkEvaluation(parts: RecipeParts<Kind>): void;
  /** How an evaluation at this moment decodes. */
  decodingsAt(recipe: Recipe, moment: EvaluationRecord["moment"]): readonly EvaluationRecord["decoding"][];
  /** Tests the model as it is on the held-out problems; with how answers were sampled, where they were. */
  evaluate(
    parts: RecipeParts<Kind>,
    decoding: EvaluationRecord["decoding"],
    onProgress: (progress: EvaluatedSoFar) => void,
  ): Promise<Evaluation & Pick<EvaluationRecord, "sampling">>;
}

const policy: ModelProgram<"policy"> = {
  open: (recipe, directory, _tokenizer, compute) => openEngine(recipe.engine, policySource(recipe, directory), compute),
  checkEvaluation: ({ recipe, engine, tokenizer, task, heldOut }) => {
    const { bestCheckpoint, evaluation } = recipe;
    const numbered = heldOut.map((problem, promptId) => ({ promptId, problem }));
    requirePromptsFit(engine, tokenizer, numbered, evaluation.maxCompletionTokens);
    if (bestCheckpoint) requireMetric(bestCheckpoint, evaluation, task);
  },
  decodingsAt: ({ evaluation }, moment) => decodingsAt(evaluation, moment),
  evaluate: async ({ recipe, engine, tokenizer, task, heldOut }, decoding, onProgress) => {
    const options = decodingOptions(recipe.evaluation, decoding);
    const { temperature, topP = 1, topK = 0, samples } = options;
    const evaluation = await evaluate(engine, tokenizer, task, heldOut, { ...options, seed: recipe.seed, onProgress });
    return { ...evaluation, sampling: { temperature, topP, topK, samples } };
  },
};

const rewardModel: ModelProgram<"rewardModel"> = {
  // Batches of texts need a padding token; where there is none, the end of a text is one, as in TRL.
  open: (recipe, directory, { padTokenId, eosTokenId }, compute) =>
    openRewardModel(recipe.engine, { path: directory, padTokenId: padTokenId ?? eosTokenId }, compute),
  checkEvaluation: ({ recipe: { bestCheckpoint }, engine, tokenizer, task, heldOut }) => {
    if (task.preference) scorablePairs(engine, tokenizer, task, heldOut);
    if (bestCheckpoint) requirePairMetric(bestCheckpoint, task);
  },
  // Pairs are scored: nothing is decoded, and there is one evaluation.
  decodingsAt: () => ["sampled"],
  evaluate: async ({ engine, tokenizer, task, heldOut }, _decoding, onProgress) =>
    evaluatePairs(engine, tokenizer, task, heldOut, onProgress),
};

const PROGRAMS: { readonly [Kind in TrainedKind]: ModelProgram<Kind> } = { policy, rewardModel };

/** What a recipe trains; all its stages train the same. */
export function trainedKind({ stages }: Pick<Recipe, "stages">): TrainedKind {
  return trainers.get(stages[0]!.trainer).trains;
}

/** How the model of a recipe is opened and tested. */
export function modelProgram(recipe: Pick<Recipe, "stages">): ModelProgram<TrainedKind> {
  return PROGRAMS[trainedKind(recipe)];
}

/** What a stage of a recipe works with. */
export function stageParts(parts: RecipeParts, stage: StageConfig): StageParts {
  const { recipe, engine, compute, reach, tokenizer, task, heldOut } = parts;
  return {
    ...{ engine, tokenizer, task, heldOut },
    seed: stageSeed(recipe.seed, stage.name),
    stage: stage.name,
    supportingCompute: { ...reach, compute, engine: specBeside(recipe.engine) },
  };
}

/** Root of a stage's draws. Stages of one run draw different numbers, whatever their place in the list. */
export function stageSeed(seed: number, stage: string): number {
  return philox(seed, hashString("stage"), [hashString(stage)])[0];
}

/** The description of the model for the engine. */
export function policySource({ model: { lora, adapter, quantization }, seed }: Recipe, path: string): PolicySource {
  const targets = lora === undefined || lora.targets === "all-linear" ? ALL_LORA_TARGETS : [...new Set(lora.targets)];
  return { path, lora: lora && { ...lora, targets }, adapter, quantization, adapterSeed: seed };
}
