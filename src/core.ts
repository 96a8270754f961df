/**
 * The core: everything of Aha that needs no Node, for programs that run elsewhere, in a browser above all. A device, folders
 * for models and for the run, and what reads data are handed in; nothing in here finds them by itself.
 *
 *     const folder = new MemoryFolder();
 *     const compute = computingOn(device, (path) => folder.at(path));
 *     const recipe = recipeOfText(text, "recipe.yaml");
 *     const run = await openRun(recipe, await FolderRun.create(folder, recipe), { compute });
 *     const summary = await runRecipe(run, { signal, observe });
 *
 * `test/architecture.test.ts` follows every import from here, and `test/core/` bundles this file for a browser.
 */

// What models are computed with.
export { type Computing, computingOn } from "./compute/computing.ts";
export type { Device, DeviceKind, DeviceTensor, Kernels, Session } from "./compute/device.ts";
export { devices } from "./compute/devices.ts";
// The engine: sample, score, forwardBackward, optimStep, saveState.
export type { Policy } from "./engine/contract/policy.ts";
export type { RewardModel } from "./engine/contract/reward-model.ts";
export type { EngineKind, EngineSpec, PolicySource, RewardModelSource } from "./engine/engine-kind.ts";
export { openEngine, openRewardModel, openSharedEngines } from "./engine/open.ts";
export { AhaError, ConfigError, DeviceLostError, DivergenceError, RunDirError, RunInterrupted } from "./errors.ts";
export { type Evaluation, evaluate } from "./eval/evaluate.ts";
// Folders: where models, tokenizers and runs are.
export { type ByteSink, type ByteSource, type Folder, type FolderAt, MemoryFolder } from "./folder.ts";
export { evaluateObjective } from "./losses/evaluate-objective.ts";
export { losses } from "./losses/registry.ts";
export { provideMathJs } from "./math-answers/numeric.ts";
// Models.
export { inspectModelIn, readModel, writeModel, writeModelFrom } from "./model/checkpoint.ts";
export { families } from "./model/families/registry.ts";
export { initializeParameters } from "./model/initialize.ts";
export type { ModelConfig } from "./model/model-config.ts";
export { MODEL_PRESETS, presetConfig } from "./model/presets.ts";
// Recipes, from their text to the trained model.
export { checkedRecipe, recipeOfText } from "./recipe/check.ts";
export { writeInitialModel } from "./recipe/model.ts";
export type { RunEvent, RunObserver } from "./recipe/observer.ts";
export { openRun, type PreparedRun, type RecipeSurroundings } from "./recipe/open-recipe.ts";
export { type RunOptions, runRecipe } from "./recipe/run-recipe.ts";
export type { Recipe, StageConfig } from "./recipe/schema.ts";
export type { RewardDeps } from "./rewards/entry.ts";
export { createReward, rewards } from "./rewards/registry.ts";
export { createRewards } from "./rewards/spec.ts";
export { judgeCompletions, sampleCompletions, trainProblems } from "./rollout/collect.ts";
export { FolderRun } from "./run/folder-run.ts";
export type { RunStore } from "./run/run-store.ts";
export type { RunSummary } from "./run/summary.ts";
// Tasks.
export type { DataReader, TaskDeps, TaskSpec } from "./tasks/entry.ts";
export { createTask, tasks } from "./tasks/registry.ts";
export type { Problem, Task, Verdict } from "./tasks/task.ts";
// Tokenizers.
export { buildTokenizer } from "./tokenizer/build.ts";
export { HuggingFaceTokenizer, readTokenizer } from "./tokenizer/huggingface.ts";
export type { Tokenizer } from "./tokenizer/tokenizer.ts";
export type { TokenizerFiles } from "./tokenizer/tokenizer-files.ts";
// Trainers.
export type { Reach, StageContext, StageLog, TrainContext } from "./train/context.ts";
export { distillConfigSchema } from "./train/distill/config.ts";
export { trainDistill } from "./train/distill/distill.ts";
export { trainGrpo } from "./train/grpo/grpo.ts";
export { grpoConfigSchema } from "./train/grpo/issues.ts";
export { rewardModelConfigSchema } from "./train/reward-model/config.ts";
export { trainRewardModel } from "./train/reward-model/reward-model.ts";
export { sftConfigSchema } from "./train/sft/config.ts";
export { trainSft } from "./train/sft/sft.ts";
export { trainers } from "./train/trainers.ts";
