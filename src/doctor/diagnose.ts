/**
 * Looks at a recipe before it is run: its numbers (batch, time, memory), and what is wrong with it.
 *
 *     the recipe alone       settings that cancel each other (recipe-findings.ts)
 *     the task's problems    lengths, overlap, epochs (task-findings.ts)
 *     a few completions      truncation, variance, speed (the trials of the trainers)
 *     shapes                 memory (memory-estimate.ts), of a GPU, too (device-memory.ts)
 *
 * Nothing is left behind and nothing is downloaded. What cannot be checked is listed in `unchecked`.
 */

import { totalmem } from "node:os";
import type { Compute } from "../compute/compute.ts";
import { devices } from "../compute/devices.ts";
import { diskFolder } from "../disk-folder.ts";
import type { EngineLook } from "../engine/engine-kind.ts";
import { otherDeviceOf } from "../engine/local/local-kind.ts";
import { lookAtEngine } from "../engine/open.ts";
import { AhaError, RunInterrupted } from "../errors.ts";
import { countBySeverity, type Finding, inStage, refusal, worstFirst } from "../findings.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { recipeChecks } from "../recipe/open-recipe.ts";
import { openRecipe } from "../recipe/prepare-recipe.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import { type RecipeParts, stageParts, trainedKind } from "../recipe/trained-model.ts";
import { createTask } from "../tasks/on-disk.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { StageTrial } from "../train/examination.ts";
import { trainers } from "../train/trainers.ts";
import { deviceMemoryNeed } from "./device-memory.ts";
import type { DeviceMemoryFigures, Diagnosis } from "./diagnosis.ts";
import { asServed, checksElsewhere, kindProblem, lookElsewhere } from "./engine-elsewhere.ts";
import { evaluationSeconds } from "./evaluation-time.ts";
import { withLocalData } from "./local-data.ts";
import {
  bufferFindings,
  checkpointFindings,
  deviceMemoryFindings,
  dtypeFindings,
  loadFindings,
  memoryFindings,
} from "./machine-findings.ts";
import { estimatePeakBytes, peakBytesFromTrials } from "./memory-estimate.ts";
import { type ExaminedModel, openExaminedModel } from "./open-model.ts";
import { recipeFindings } from "./recipe-findings.ts";
import { stageFigures } from "./stage-figures.ts";
import { inspectSupportingModel } from "./supporting-models.ts";
import {
  firstProblems,
  overlapFindings,
  type PromptLengths,
  promptLengthFindings,
  promptLengths,
  turnEndFindings,
} from "./task-findings.ts";

/** A prompt's length where it cannot be counted. */
const USUAL_PROMPT_TOKENS = 256;

/** How to look. */
export interface DiagnoseOptions {
  /** Completions to sample for each stage; 0 samples and trains nothing. */
  readonly samples: number;
  readonly signal: AbortSignal;
  /** What this process computes with, where it is decided already; else the recipe says it. */
  readonly compute?: Compute;
  readonly onProgress?: (text: string) => void;
}

/** What a pipeline's stage takes from earlier ones, which have not run. */
export interface FromEarlierStages {
  /** Instead of the model that the recipe names. */
  readonly model: ExaminedModel;
  /** Directories of models that will be there, with the shapes that they will have. */
  readonly supportingModels: ReadonlyMap<string, ModelConfig | undefined>;
  /** Who makes the task's data; undefined: it names none of an earlier stage. */
  readonly dataMaker: string | undefined;
}

/** What is known of a recipe, as it is found out. */
interface Knowledge {
  readonly findings: Finding[];
  readonly unchecked: string[];
  readonly trials: Map<string, StageTrial>;
  readonly supportingModels: ModelConfig[];
  task?: Task;
  prompts?: PromptLengths;
}

/**
 * The diagnosis of a checked recipe, which may be a stage of a pipeline. Throws RunInterrupted; whatever else goes wrong is a
 * finding.
 */
export async function diagnose(
  recipe: Recipe,
  options: DiagnoseOptions,
  earlier?: FromEarlierStages,
): Promise<Diagnosis> {
  if (options.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
  const known: Knowledge = { findings: [], unchecked: [], trials: new Map(), supportingModels: [] };
  const found = earlier?.model ?? (await orFinding(known, "model", () => openExaminedModel(recipe)));
  const elsewhere = found && (await lookAtEngineElsewhere(recipe, found, known));
  const model = found && elsewhere ? asServed(found, elsewhere) : found;
  known.findings.push(...dtypeFindings(recipe));
  await lookAtSupportingModels(recipe, known, earlier);
  if (model !== undefined) {
    known.findings.push(...recipeFindings(recipe, model.figures));
    await lookAtTask(recipe, model, known, earlier);
    if (elsewhere && (options.samples === 0 || earlier !== undefined))
      await checkElsewhere(recipe, elsewhere, model, known);
    await probe(recipe, model, known, options, earlier);
  }
  return conclude(recipe, model, known);
}

/** What an engine says that is not in this process. */
async function lookAtEngineElsewhere(recipe: Recipe, model: ExaminedModel, known: Knowledge) {
  const problem = kindProblem(recipe);
  if (problem !== undefined) known.findings.push(refusal("engine", problem));
  const look = await orFinding(known, "engine", () => lookElsewhere(recipe, model));
  known.findings.push(...(look?.findings ?? []));
  known.unchecked.push(...(look?.unsaid ?? []));
  return look;
}

/** What the recipe asks for that an engine elsewhere does not have, where it is not tried. */
async function checkElsewhere(
  recipe: Recipe,
  look: EngineLook,
  { tokenizer }: ExaminedModel,
  known: Knowledge,
): Promise<void> {
  const { task } = known;
  if (tokenizer === undefined || task === undefined) return;
  for (const check of checksElsewhere(recipe, look, { tokenizer, task })) await orFinding(known, "refused", check);
}

/** A diagnosis of a recipe that cannot even be read. */
export function refusedRecipe(name: string, reason: string): Diagnosis {
  const findings = [refusal("recipe", reason)];
  return {
    ...{ recipe: name, model: null, stages: [], evaluationSeconds: null, estimatedSeconds: null },
    ...{
      estimatedPeakBytes: null,
      machineMemoryBytes: totalmem(),
      deviceMemory: null,
      findings,
      unchecked: ["everything else"],
    },
    counts: countBySeverity(findings),
  };
}

/** Teachers and reward models, which are there or will be; of one on a server, whether that has it. */
async function lookAtSupportingModels(recipe: Recipe, known: Knowledge, earlier?: FromEarlierStages): Promise<void> {
  for (const stage of recipe.stages) {
    for (const supportingModel of trainers.get(stage.trainer).supportingModels?.(stage) ?? []) {
      const { id, path, engine } = supportingModel;
      if (engine !== undefined) {
        const look = () => lookAtEngine(engine, { path }, { folderAt: diskFolder });
        const found = (await orFinding(known, id, look, stage.name))?.findings ?? [];
        known.findings.push(...found.map((finding) => inStage(finding, stage.name)));
        continue;
      }
      const config = earlier?.supportingModels.has(path)
        ? earlier.supportingModels.get(path)
        : await orFinding(known, id, () => inspectSupportingModel(supportingModel), stage.name);
      if (config !== undefined) known.supportingModels.push(config);
    }
  }
}

async function lookAtTask(
  recipe: Recipe,
  { tokenizer, figures }: ExaminedModel,
  known: Knowledge,
  earlier?: FromEarlierStages,
): Promise<void> {
  if (earlier?.dataMaker !== undefined) {
    known.unchecked.push(`the task's problems: ${earlier.dataMaker} has to run first`);
    return;
  }
  const local = await withLocalData(recipe);
  if (local === undefined) {
    known.unchecked.push("the task's problems: its data set is not on this machine (aha data pull)");
    return;
  }
  let task: Task;
  let heldOut: Problem[];
  try {
    const renderChat: Parameters<typeof createTask>[1]["renderChat"] = tokenizer
      ? (messages, more) => tokenizer.applyChatTemplate(messages, more)
      : undefined;
    task = await createTask(local.task, { seed: recipe.seed, ...(renderChat && { renderChat }) });
    heldOut = task.heldOut(recipe.evaluation.problems);
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    if (tokenizer === undefined)
      known.unchecked.push(`the task's problems, without the model's tokenizer: ${error.message}`);
    else known.findings.push(refusal("task", error.message));
    return;
  }
  known.task = task;
  const training = firstProblems(task);
  known.findings.push(...overlapFindings(training, heldOut));
  for (const stage of recipe.stages) {
    const refused = trainers.get(stage.trainer).examination?.taskFindings?.(stage, task) ?? [];
    known.findings.push(...refused.map((finding) => inStage(finding, stage.name)));
  }
  if (tokenizer === undefined) {
    known.unchecked.push("lengths of prompts: the model's tokenizer is not on this machine");
    return;
  }
  known.prompts = promptLengths(training, heldOut, tokenizer);
  known.findings.push(...turnEndFindings(task, training, tokenizer));
  if (figures.contextTokens !== null)
    known.findings.push(...promptLengthFindings(recipe, known.prompts, figures.contextTokens));
}

async function probe(
  recipe: Recipe,
  model: ExaminedModel,
  known: Knowledge,
  options: DiagnoseOptions,
  earlier?: FromEarlierStages,
): Promise<void> {
  const { findings, unchecked } = known;
  const what = "truncation, variance, rewards and speed";
  if (earlier !== undefined) {
    unchecked.push(`${what}: the stages before have to run first`);
    return;
  }
  if (options.samples === 0) {
    unchecked.push(`${what}: nothing was sampled (--skip-sampling)`);
    return;
  }
  if (model.inDirectory === undefined) {
    unchecked.push(`${what}: ${model.figures.source} is not on this machine (aha model pull)`);
    return;
  }
  if (known.task === undefined || findings.some(({ severity }) => severity === "error")) {
    unchecked.push(`${what}: the recipe has errors that come before`);
    return;
  }
  findings.push(...loadFindings());
  const local = (await withLocalData(recipe)) ?? recipe;
  await model.inDirectory(async (directory) => {
    const prepared = await orFinding(known, "refused", () => openRecipe(local, directory, options.compute));
    if (prepared === undefined) return;
    try {
      for (const check of recipeChecks(prepared)) await orFinding(known, "refused", check);
      if (findings.some(({ severity }) => severity === "error")) return;
      let trainedBefore: string | undefined;
      for (const stage of recipe.stages) {
        await tryStage(stage, prepared, known, { ...options, trainedBefore });
        trainedBefore = stage.name;
      }
    } finally {
      await prepared.engine.dispose();
    }
  });
}

/** A few units of a stage by its own trainer. */
async function tryStage(
  stage: StageConfig,
  prepared: RecipeParts,
  known: Knowledge,
  { samples, signal, onProgress, trainedBefore }: DiagnoseOptions & { readonly trainedBefore: string | undefined },
): Promise<void> {
  const { examination } = trainers.get(stage.trainer);
  if (examination?.trial === undefined) {
    const why = examination?.whyNoTrial ?? `the trainer ${stage.trainer} has no trial`;
    known.unchecked.push(`speed of ${stage.name}: ${why}`);
    return;
  }
  const parts = {
    ...{ ...stageParts(prepared, stage), samples, signal },
    ...(onProgress && { onProgress: (text: string) => onProgress(`${stage.name}: ${text}`) }),
  };
  const trial = await orFinding(known, "probe", () => examination.trial!(parts, stage), stage.name);
  if (trial === undefined) return;
  known.trials.set(stage.name, trial);
  const found = examination.trialFindings?.(stage, trial, trainedBefore) ?? [];
  known.findings.push(...found.map((finding) => inStage(finding, stage.name)));
}

async function conclude(recipe: Recipe, model: ExaminedModel | undefined, known: Knowledge): Promise<Diagnosis> {
  const { task, prompts, trials, findings } = known;
  let taughtTokens: number | undefined;
  const stages = recipe.stages.map((stage) => {
    const trial = trials.get(stage.name);
    const { examination } = trainers.get(stage.trainer);
    const overData = (task && examination?.overData?.(stage, task.trainCount, trial)) ?? {};
    findings.push(...(overData.findings ?? []).map((finding) => inStage(finding, stage.name)));
    const figures = stageFigures(stage, {
      prompts,
      epochs: overData.epochs,
      steps: overData.steps,
      taughtTokens,
      trial,
    });
    taughtTokens = trial?.taughtTokens ?? taughtTokens;
    return figures;
  });
  const evaluating = evaluationSeconds(recipe, trials);
  const trainingSeconds = addAll(stages.map((stage) => stage.estimatedSeconds));
  const estimatedSeconds = trainingSeconds === null ? null : trainingSeconds + (evaluating ?? 0);
  if (trainingSeconds !== null && evaluating === null && trainedKind(recipe) === "policy") {
    known.unchecked.push("the time of held-out evaluations: no stage samples, so its speed was not measured");
  }
  for (const [i, figures] of stages.entries()) findings.push(...checkpointFindings(recipe.stages[i]!, figures));
  const machineMemoryBytes = totalmem();
  const estimatedPeakBytes = model?.config ? peakBytes(model.config, recipe, known) : null;
  if (estimatedPeakBytes === null) known.unchecked.push("memory: the model's shape is not known");
  else findings.push(...memoryFindings(estimatedPeakBytes, machineMemoryBytes, model?.figures.available === true));
  const deviceMemory = model?.config ? await lookAtDeviceMemory(model.config, recipe, known) : null;
  const sorted = worstFirst(findings);
  return {
    ...{ recipe: recipe.name, model: model?.figures ?? null, stages, evaluationSeconds: evaluating, estimatedSeconds },
    ...{ estimatedPeakBytes, machineMemoryBytes, deviceMemory, findings: sorted, unchecked: known.unchecked },
    counts: countBySeverity(sorted),
  };
}

/** Of the GPU that the recipe names; null where it names none. */
async function lookAtDeviceMemory(
  config: ModelConfig,
  recipe: Recipe,
  { prompts, supportingModels, findings, unchecked }: Knowledge,
): Promise<DeviceMemoryFigures | null> {
  const device = otherDeviceOf(recipe.engine);
  const need = deviceMemoryNeed(config, recipe, prompts?.max ?? USUAL_PROMPT_TOKENS, supportingModels);
  if (device === undefined || need === undefined) return null;
  const memories = (await devices.find(device)?.memories?.()) ?? [];
  if (memories.length === 0)
    unchecked.push(`whether ${device} has as much memory: no driver here says how much it has`);
  findings.push(...deviceMemoryFindings(need, memories), ...bufferFindings(need, device));
  return { ...need, device, memoryBytes: memories[0]?.bytes ?? null };
}

/** Measured where every stage was tried at its longest, else from shapes. */
function peakBytes(config: ModelConfig, recipe: Recipe, { prompts, trials, supportingModels }: Knowledge): number {
  const promptTokens = prompts?.max ?? USUAL_PROMPT_TOKENS;
  const tried = recipe.stages.flatMap(({ name }) => trials.get(name) ?? []);
  const isMeasured =
    tried.length === recipe.stages.length && tried.every(({ sampling, longest }) => !sampling || longest);
  if (!isMeasured) return estimatePeakBytes(config, recipe, promptTokens, supportingModels);
  const processBytes = process.resourceUsage().maxRSS * 2 ** 10;
  return peakBytesFromTrials(config, recipe, promptTokens, { trials: tried, processBytes });
}

/** What `work` returns; where it throws what a user can correct, an error finding is added instead. */
async function orFinding<T>(
  { findings }: Knowledge,
  id: string,
  work: () => Promise<T>,
  stage?: string,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RunInterrupted || !(error instanceof AhaError)) throw error;
    const { message } = error;
    if (!findings.some(({ measured }) => measured === message)) {
      const finding = refusal(id, message);
      findings.push(stage === undefined ? finding : inStage(finding, stage));
    }
    return undefined;
  }
}

/** The sum; null where a part is not known. */
function addAll(parts: readonly (number | null)[]): number | null {
  return parts.reduce((sum, part) => (sum === null || part === null ? null : sum + part), 0);
}
