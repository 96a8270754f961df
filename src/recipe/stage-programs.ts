/**
 * What a recipe trains, and what its stages do with it: a policy, which writes and is tested by its answers, or a reward
 * model, which scores and is tested by pairs. The pipeline is the same for both, and asks here where they differ.
 */

import type { Compute } from "../compute/compute.ts";
import type { Policy } from "../engine/contract/policy.ts";
import type { RewardModel } from "../engine/contract/reward-model.ts";
import type { EngineSpec, PolicySource } from "../engine/engine-kind.ts";
import { openEngine, openRewardModel, specBeside } from "../engine/open.ts";
import { type Evaluation, evaluate } from "../eval/evaluate.ts";
import { evaluatePairs, scorablePairs } from "../eval/evaluate-pairs.ts";
import { ALL_LORA_TARGETS } from "../model/lora.ts";
import { requirePromptsFit } from "../rollout/collect.ts";
import type { EvaluationRecord } from "../run/records.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { StageContext, TrainContext, TrainOutcome } from "../train/context.ts";
import { checkDistill, trainDistill } from "../train/distill/distill.ts";
import { openTeacher, type Teacher } from "../train/distill/teacher.ts";
import { createRewards, requireRewardColumns } from "../train/grpo/config.ts";
import { checkGrpo, trainGrpo } from "../train/grpo/grpo.ts";
import { checkRewardModel, trainRewardModel } from "../train/reward-model/reward-model.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import { withOpenRewards } from "../train/reward-session.ts";
import { checkSft, trainSft } from "../train/sft/sft.ts";
import { requireMetric, requirePairMetric } from "./best-checkpoint.ts";
import { decodingsAt as answerDecodingsAt, decodingOptions } from "./evaluation.ts";
import type { Recipe, StageConfig } from "./schema.ts";

/** An engine with the model that a recipe trains. */
export type TrainedEngine = Policy | RewardModel;

/** Stages that train a reward model. */
type RewardStage = Extract<StageConfig, { trainer: "reward_model" }>;

/** Whether a recipe trains a reward model: then all its stages do. */
export function trainsRewardModel({ stages }: Pick<Recipe, "stages">): boolean {
  return stages.some(({ trainer }) => trainer === "reward_model");
}

/** Opens the engine that a recipe's stages need on the model in `directory`. The caller disposes of it. */
export function openTrained(
  recipe: Recipe,
  directory: string,
  tokenizer: Tokenizer,
  compute: Compute,
): Promise<TrainedEngine> {
  const spec = engineSpecOf(recipe);
  if (!trainsRewardModel(recipe)) return openEngine(spec, policySource(recipe, directory), compute);
  // Batches of texts need a padding token; where there is none, the end of a text is one, as in TRL.
  const padTokenId = tokenizer.padTokenId ?? tokenizer.eosTokenId;
  return openRewardModel(spec, { path: directory, padTokenId }, compute);
}

/** Which engine a recipe's model is trained with. */
export function engineSpecOf({ engine }: Pick<Recipe, "engine">): EngineSpec {
  return { kind: "local", ...engine };
}

/** What the engine is told of the model. */
function policySource({ model: { lora, adapter, quantization }, seed }: Recipe, path: string): PolicySource {
  const targets = lora === undefined || lora.targets === "all-linear" ? ALL_LORA_TARGETS : [...new Set(lora.targets)];
  return { path, lora: lora && { ...lora, targets }, adapter, quantization, adapterSeed: seed };
}

/** What stages and evaluations work with. */
export interface ProgramParts {
  readonly recipe: Recipe;
  readonly engine: TrainedEngine;
  /** What this process computes with: for models beside the engine's. */
  readonly compute: Compute;
  readonly tokenizer: Tokenizer;
  readonly task: Task;
  readonly heldOut: readonly Problem[];
}

/**
 * Refuses held-out problems that the model could not be tested on.
 *
 * @throws ConfigError
 */
export function checkEvaluation({ recipe, engine, tokenizer, task, heldOut }: ProgramParts): void {
  const { bestCheckpoint, evaluation } = recipe;
  if (isRewardEngine(engine)) {
    if (task.preference) scorablePairs(engine, tokenizer, task, heldOut);
    if (bestCheckpoint) requirePairMetric(bestCheckpoint, task);
    return;
  }
  const numbered = heldOut.map((problem, promptId) => ({ promptId, problem }));
  requirePromptsFit(engine, tokenizer, numbered, evaluation.maxCompletionTokens);
  if (bestCheckpoint) requireMetric(bestCheckpoint, evaluation, task);
}

/** How an evaluation at this moment decodes. Pairs are scored: nothing is decoded, and there is one evaluation. */
export function decodingsAt(
  moment: EvaluationRecord["moment"],
  { recipe, engine }: Pick<ProgramParts, "recipe" | "engine">,
): readonly EvaluationRecord["decoding"][] {
  return isRewardEngine(engine) ? ["sampled"] : answerDecodingsAt(recipe.evaluation, moment);
}

/** Tests the model as it is on the held-out problems; with how answers were sampled, where they were. */
export async function evaluateTrained(
  { recipe, engine, tokenizer, task, heldOut }: ProgramParts,
  decoding: EvaluationRecord["decoding"],
  onProgress: (progress: { readonly finished: number; readonly total: number }) => void,
): Promise<Evaluation & Pick<EvaluationRecord, "sampling">> {
  if (isRewardEngine(engine)) return evaluatePairs(engine, tokenizer, task, heldOut, onProgress);
  const options = decodingOptions(recipe.evaluation, decoding);
  const { temperature, topP = 1, topK = 0, samples } = options;
  const evaluation = await evaluate(engine, tokenizer, task, heldOut, { ...options, seed: recipe.seed, onProgress });
  return { ...evaluation, sampling: { temperature, topP, topK, samples } };
}

/** What a trainer can refuse before anything is trained. */
export async function checkStage(
  stage: StageConfig,
  { recipe, engine, compute, tokenizer, task, heldOut }: ProgramParts,
  seed: number,
): Promise<void> {
  if (isRewardEngine(engine)) {
    checkRewardModel({ engine, tokenizer, task }, rewardStage(stage));
    return;
  }
  const parts = { engine, tokenizer, task, heldOut, seed };
  switch (stage.trainer) {
    case "sft":
      checkSft(parts, stage);
      return;
    case "grpo":
      requireRewardColumns(stage.rewards, task);
      checkGrpo(parts, stage);
      await withOpenRewards(rewardsOf(stage, { recipe, compute }), undefined, async () => {});
      return;
    case "distill":
      await withTeacher(stage, { recipe, compute }, tokenizer, async (teacher) => checkDistill(parts, stage, teacher));
      return;
    case "reward_model":
      throw notAPolicy(stage);
    default:
      stage satisfies never;
  }
}

/** Trains one stage. */
export function runTrainer(
  surroundings: StageContext,
  stage: StageConfig,
  { recipe, engine, compute }: Pick<ProgramParts, "recipe" | "engine" | "compute">,
): Promise<TrainOutcome> {
  if (isRewardEngine(engine)) return trainRewardModel({ ...surroundings, engine }, rewardStage(stage));
  const context: TrainContext = { ...surroundings, engine };
  switch (stage.trainer) {
    case "sft":
      return trainSft(context, stage);
    case "grpo":
      return trainGrpo(context, stage, rewardsOf(stage, { recipe, compute }));
    case "distill":
      return withTeacher(stage, { recipe, compute }, context.tokenizer, (teacher) =>
        trainDistill(context, stage, teacher),
      );
    case "reward_model":
      throw notAPolicy(stage);
    default:
      return stage satisfies never;
  }
}

function rewardsOf(
  { rewards }: Extract<StageConfig, { trainer: "grpo" }>,
  { recipe, compute }: Pick<ProgramParts, "recipe" | "compute">,
) {
  return createRewards(rewards, { openScorer: scorerOpener(compute, specBeside(engineSpecOf(recipe))) });
}

/** Does `work` with the teacher of a stage. */
async function withTeacher<T>(
  { teacher: spec }: Extract<StageConfig, { trainer: "distill" }>,
  { recipe, compute }: Pick<ProgramParts, "recipe" | "compute">,
  tokenizer: Tokenizer,
  work: (teacher: Teacher) => Promise<T>,
): Promise<T> {
  const teacher = await openTeacher(spec, tokenizer, { compute, engine: specBeside(engineSpecOf(recipe)) });
  try {
    return await work(teacher);
  } finally {
    await teacher.close();
  }
}

function isRewardEngine(engine: TrainedEngine): engine is RewardModel {
  return !("sample" in engine);
}

/** The schema lets a recipe have stages of one kind only; these two are for the compiler, and for whoever bypasses it. */
function rewardStage(stage: StageConfig): RewardStage {
  if (stage.trainer === "reward_model") return stage;
  throw new TypeError(`Stage ${stage.name}: a ${stage.trainer} stage in a recipe that trains a reward model.`);
}

function notAPolicy({ name }: RewardStage): TypeError {
  return new TypeError(`Stage ${name}: a reward_model stage in a recipe that trains a policy.`);
}
