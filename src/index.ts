/**
 * Aha's public API: what a program that trains a model imports. Everything that is exported here is kept stable;
 * everything else may move. `examples/grpo-in-one-file.ts` uses it from top to bottom.
 */

import "./node-entries.ts";

// Extending: trainers, data steps, rewards, engines of your own, by name in recipes; their keys are schemas of zod.
export { z } from "zod";
// What models are computed with, and what a device of your own needs.
export { Compute, type ComputeOptions } from "./compute/compute.ts";
export type { Computing } from "./compute/computing.ts";
export type {
  BlockCopy,
  Device,
  DeviceKind,
  DeviceTensor,
  HostArray,
  HostArrays,
  Kernels,
  OptimizedTensor,
  Session,
  StoredDType,
} from "./compute/device.ts";
export { devices } from "./compute/devices.ts";
export { GraphKernels } from "./compute/graph-kernels.ts";
// Data sets: JSONL, Parquet and CSV, from a path or the Hub's layout.
export { type Dataset, type DatasetSplit, findDataset, splitOf, splitRows } from "./data/dataset-folder.ts";
export { readRows } from "./data/formats.ts";
export { type LoadDeps, loadData } from "./data/load.ts";
export type { LoadedData, NumberedRow } from "./data/loaded-data.ts";
export type { ResolveDataset } from "./data/options.ts";
export { type DataOptions, dataOptionsSchema } from "./data/options.ts";
export type { DataRow } from "./data/row.ts";
// Data steps: what makes data sets in a pipeline.
export { writeDataset } from "./data-steps/dataset-writer.ts";
export {
  type DataStep,
  type DataStepConfig,
  type DataStepOutcome,
  defineDataStep,
  type SampledWork,
  type StepKnowledge,
} from "./data-steps/step.ts";
export { type DataStepContext, withSource } from "./data-steps/step-context.ts";
export { dataSteps } from "./data-steps/steps.ts";
// Folders: where models, tokenizers and states are.
export { diskFolder } from "./disk-folder.ts";
// Models behind an OpenAI-compatible endpoint.
export type { BudgetLimits, SpentUsage } from "./endpoint/budget.ts";
export type { ChatAnswer, ChatClient, ChatMessage, ChatRequest, ChatUsage } from "./endpoint/chat.ts";
export { EndpointClient, type EndpointOptions } from "./endpoint/client.ts";
export { type RemoteArtifact, readRemoteArtifact, writeRemoteArtifact } from "./engine/contract/artifact.ts";
// The engine: sample, score, forwardBackward, optimStep, saveState.
export {
  type Capabilities,
  type CapabilityName,
  type CapabilityUse,
  requireCapability,
  requireLossCapability,
} from "./engine/contract/capabilities.ts";
export type {
  AdamParams,
  Datum,
  ForwardBackwardResult,
  OptimStepResult,
  Policy,
  PolicyInfo,
  PolicyName,
  StepResult,
  Trainable,
} from "./engine/contract/policy.ts";
export type {
  PairLossOptions,
  PairResult,
  RewardModel,
  RewardModelInfo,
  TokenPair,
} from "./engine/contract/reward-model.ts";
export type {
  SampledSequence,
  SampledSoFar,
  SampleProgress,
  Sampler,
  SamplerInfo,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
  Scorer,
  ScorerInfo,
} from "./engine/contract/sampler.ts";
export type { SamplePrompt, SamplingParams } from "./engine/contract/sampling.ts";
export type {
  DrawnToken,
  LogitAdjustments,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
  SessionLoad,
  TokenLogprob,
} from "./engine/contract/session.ts";
export type { EngineKind, EngineSpec, PolicySource, RewardModelSource } from "./engine/engine-kind.ts";
export { engines, openEngine, openRewardModel, openSharedEngines } from "./engine/open.ts";
// Errors.
export {
  AhaError,
  CheckpointError,
  ConfigError,
  DataError,
  DeviceLostError,
  DivergenceError,
  EngineError,
  HubError,
  RunDirError,
  RunInterrupted,
} from "./errors.ts";
// Evaluation.
export { type Comparison, compareEvaluations, type Difference, type McNemar, mcNemarP } from "./eval/compare.ts";
export { type EvaluatedCompletion, type Evaluation, type EvaluationOptions, evaluate } from "./eval/evaluate.ts";
export { type Cluster, meanInterval, shareInterval, wilsonInterval } from "./eval/interval.ts";
export { majorityAnswer } from "./eval/majority-vote.ts";
export { passAtK } from "./eval/pass-at-k.ts";
export { reflectionWords } from "./eval/reflection.ts";
export { type Extension, extend } from "./extend.ts";
export type { ByteSink, ByteSource, Folder, FolderAt } from "./folder.ts";
// Graphs: the operations that the graph form of a loss is made of.
export * as elementwise from "./graph/ops/elementwise.ts";
// The Hugging Face Hub: models and data sets by org/name[@revision], and checkpoints back.
export { type PullOptions, type PullProgress, pull } from "./hub/pull.ts";
export { type PushOptions, type PushProgress, type PushResult, pushModel } from "./hub/push.ts";
export { type HubReference, parseHubReference } from "./hub/reference.ts";
export { type Resolved, type ResolveOptions, resolveDataset, resolveModel } from "./hub/resolve.ts";
export { type HubSettings, hubSettings } from "./hub/settings.ts";
export type { Snapshot } from "./hub/snapshot.ts";
// Losses, as data, and their mathematics.
export {
  evaluateObjective,
  type ObjectiveRow,
  type ObjectiveValue,
  type PolicyScores,
  type RowTerms,
} from "./losses/evaluate-objective.ts";
export { type KlEstimator, klEstimate } from "./losses/kl.ts";
export type { CrossEntropyLoss, EmbeddingNoise, LossSpec, PolicyLossSpec } from "./losses/loss-spec.ts";
export type { Mean, PolicyLoss, Term, TokenNumbers, TokenTensors } from "./losses/policy-loss.ts";
export { defineLoss } from "./losses/policy-loss.ts";
export {
  type ImportanceSamplingLevel,
  type ObjectiveKeys,
  type PolicyObjective,
  policyObjective,
  tokenLossOf,
} from "./losses/policy-objective.ts";
export { losses } from "./losses/registry.ts";
export { type CorrectionBounds, correctionRatios, type SamplerCorrection } from "./losses/sampler-correction.ts";
// Models: Hugging Face directories, and new ones from random weights.
export type { SaveOptions } from "./model/checkpoint.ts";
export type {
  DecoderSwitches,
  FamilySwitches,
  GgufArchitecture,
  GgufKeys,
  GgufLayerRules,
  GgufLayers,
  GgufShape,
  LayerKeys,
  LayerRules,
  LayerSwitches,
  ModelFamily,
  SwitchKeys,
} from "./model/families/family.ts";
export { families } from "./model/families/registry.ts";
export type { GgufExport, GgufExportOptions } from "./model/gguf/export.ts";
export { exportGguf } from "./model/gguf/on-disk.ts";
export { type InitScheme, initializeParameters } from "./model/initialize.ts";
export type { ModelConfig, RopeScaling } from "./model/model-config.ts";
export { loadModel, saveModel, saveModelFrom } from "./model/on-disk.ts";
export { MODEL_PRESETS, type ModelPreset, presetConfig } from "./model/presets.ts";
// Paths among the keys of an extension.
export { type NamedPath, pathAt, pathsBelow, pathsOfItems } from "./named-paths.ts";
// Learning rates and random numbers.
export { learningRateAt, type ScheduleConfig, type ScheduleName } from "./optim/schedule.ts";
// Pipelines: stages of trainers and data steps, strung together by content hashes.
export { PipelineDirectory } from "./pipeline/directory.ts";
// JSON Schemas of recipes and pipelines, with what extensions brought.
export { jsonSchemas } from "./pipeline/json-schema.ts";
export { type LoadedPipeline, loadPipeline, type ResolvedStage, resolveStages } from "./pipeline/load.ts";
export { type PlannedStage, planPipeline } from "./pipeline/plan.ts";
export { type RunnerEvent, type RunnerOptions, runStages } from "./pipeline/runner.ts";
export { hashString, Random, uniformAt } from "./random.ts";
// Recipes: what `aha run` takes, checked, opened and run.
export type { JsonSchema } from "./recipe/json-schema.ts";
export { loadRecipe, parseRecipe } from "./recipe/load.ts";
export type { RunEvent, RunObserver } from "./recipe/observer.ts";
export type { PreparedRun } from "./recipe/open-recipe.ts";
export { type PrepareOptions, prepareRecipe } from "./recipe/prepare-recipe.ts";
export { type RunOptions, runRecipe } from "./recipe/run-recipe.ts";
export type { Recipe, StageConfig } from "./recipe/schema.ts";
export { writeReport } from "./report/report.ts";
// Rewards.
export {
  defineRewardEntry,
  type Judge,
  type RewardContext,
  type RewardDeps,
  type RewardEntry,
} from "./rewards/entry.ts";
export { createReward, createRewards } from "./rewards/on-node.ts";
export { rewards, type SingleRewardName } from "./rewards/registry.ts";
export {
  type AnyReward,
  type BatchReward,
  groupsOf,
  type Reward,
  type RewardInput,
  type RewardResult,
  type WeightedReward,
} from "./rewards/reward.ts";
export type { RewardSpec } from "./rewards/spec.ts";
export { defineReward, type Judgement, type UserRewardDefinition } from "./rewards/user/definition.ts";
export { parseRewardReference, type RewardReference } from "./rewards/user/reference.ts";
export { UserReward, type UserRewardOptions } from "./rewards/user/thread.ts";
// Rollouts: the parts that reinforcement learning is made of.
export {
  type AdvantageName,
  type AdvantageOptions,
  completionAdvantages,
  type GroupAdvantages,
  groupAdvantages,
  type JudgedCompletion,
  type ScaleRewards,
} from "./rollout/advantages.ts";
export {
  type Completion,
  judgeCompletions,
  type NumberedProblem,
  type Rollout,
  requirePromptsFit,
  type SamplingOptions,
  sampleCompletions,
  trainProblems,
} from "./rollout/collect.ts";
export { lossWeights, type WeightContext } from "./rollout/loss-weights.ts";
export type { EvaluationRecord, RolloutRecord } from "./run/records.ts";
export type { RunSummary } from "./run/summary.ts";
// Serving: OpenAI's API for a model of an engine.
export { type ServedModel, type ServedModelOptions, serveEngine } from "./serve/served-model.ts";
export { ApiServer, type ServerOptions } from "./serve/server.ts";
// Tasks.
export { type DataReader, defineTask, type TaskDeps, type TaskEntry, type TaskSpec } from "./tasks/entry.ts";
export { createTask } from "./tasks/on-disk.ts";
export { tasks } from "./tasks/registry.ts";
export type { Demonstration, Preference, Problem, StatisticKind, Task, Verdict } from "./tasks/task.ts";
// Tokenizers.
export { type BuiltTokenizer, buildCharacters, buildCountdownCompact, buildTokenizer } from "./tokenizer/build.ts";
export { loadTokenizer } from "./tokenizer/on-disk.ts";
export { stopTokens } from "./tokenizer/stop-tokens.ts";
export { StreamingDecoder } from "./tokenizer/streaming-decoder.ts";
export type { ChatTemplateOptions, Message, Tokenizer } from "./tokenizer/tokenizer.ts";
export { type Place, type PlaceOptions, trackerOf } from "./tracking/place.ts";
export type { PointRules, Points, TextPoint, TrackedCompletion } from "./tracking/points.ts";
export { type SentRun, sendRun } from "./tracking/send-run.ts";
// Trackers: programs that are told what a run does.
export {
  defineTracker,
  type ResumedRun,
  type RunEnd,
  type TrackedRow,
  type TrackedRun,
  type Tracker,
  type TrackerKind,
} from "./tracking/tracker.ts";
export { trackers } from "./tracking/trackers.ts";
export type { ConfigIssue } from "./train/config-issue.ts";
// Trainers, and what an author of one needs.
export type {
  MetricsRow,
  Reach,
  RolloutRow,
  StageContext,
  StageLog,
  StageParts,
  SupportingCompute,
  TrainContext,
  TrainedKind,
  TrainedModels,
  TrainerState,
  TrainOutcome,
  TrainProgress,
  UpdatedTokens,
} from "./train/context.ts";
export { type DistillConfig, distillConfigSchema } from "./train/distill/config.ts";
export { trainDistill } from "./train/distill/distill.ts";
export { openTeacher } from "./train/distill/on-node.ts";
export type {
  AroundStage,
  Examination,
  MemoryNeed,
  StageNumbers,
  StageOverData,
  StageTrial,
  TrialParts,
} from "./train/examination.ts";
export type { GrpoConfig } from "./train/grpo/config.ts";
export { trainGrpo } from "./train/grpo/grpo.ts";
export { grpoConfigSchema } from "./train/grpo/issues.ts";
export { NODE_REACH } from "./train/on-node.ts";
export { type OptimizerConfig, optimizerIssues, optimizerShape } from "./train/optimizer-config.ts";
export { type RewardModelConfig, rewardModelConfigSchema } from "./train/reward-model/config.ts";
export { type RewardModelContext, trainRewardModel } from "./train/reward-model/reward-model.ts";
export { scorerOpener } from "./train/reward-scorer.ts";
export { type SftConfig, sftConfigSchema } from "./train/sft/config.ts";
export { trainSft } from "./train/sft/sft.ts";
export { StageLoop, type StagePlan, type UnitMetrics } from "./train/stage-loop.ts";
export type { Material, Starter, StarterChoice, StarterFacts, StarterNumbers } from "./train/starter.ts";
export { type Curve, defineTrainer, type SupportingModel, type Trainer, type TrainerWords } from "./train/trainer.ts";
export { trainers } from "./train/trainers.ts";
