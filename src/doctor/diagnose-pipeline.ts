/**
 * Looks at a pipeline before it is run. Each training stage is looked at as a recipe is; what earlier stages will have made
 * is not there, so a stage's model has the shape of the one that it descends from, and data that are to be made are not
 * looked at. Only a stage that takes nothing of others is sampled, which is the first one mostly.
 *
 * Between stages the doctor checks whether lengths agree: data that are sampled shorter than the policy was trained,
 * SFT that passes over what the data step wrote, suites that cut answers.
 */

import { totalmem } from "node:os";
import { Compute } from "../compute/compute.ts";
import type { SampledWork, StepKnowledge } from "../data-steps/step.ts";
import { AhaError, RunInterrupted } from "../errors.ts";
import { countBySeverity, type Finding, inStage, refusal, worstFirst } from "../findings.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import { createTask } from "../tasks/on-disk.ts";
import { singleTasks } from "../tasks/registry.ts";
import type { Task } from "../tasks/task.ts";
import { trainers } from "../train/trainers.ts";
import { type DiagnoseOptions, diagnose, type FromEarlierStages } from "./diagnose.ts";
import type { DataStepFigures, DeviceMemoryFigures, Diagnosis, ModelFigures, PipelineDiagnosis } from "./diagnosis.ts";
import {
  dataMaker,
  type ExaminedPipeline,
  type ExaminedStage,
  modelMaker,
  supportingModelMakers,
} from "./examined-pipeline.ts";
import { withLocalData } from "./local-data.ts";
import { descendedModel, type ExaminedModel, openExaminedModel } from "./open-model.ts";

/** A stage that trains. */
type TrainStage = ExaminedStage & { readonly work: Extract<ExaminedStage["work"], { kind: "train" }> };

/** A stage that makes a data set. */
type DataStage = ExaminedStage & { readonly work: Extract<ExaminedStage["work"], { kind: "data" }> };

/** What is known of a pipeline, as it is found out. */
interface Knowledge {
  /** The model that each training stage's own descends from; undefined where it could not be looked at. */
  readonly roots: Map<string, ExaminedModel | undefined>;
  readonly diagnoses: Map<string, Diagnosis>;
  readonly findings: Finding[];
  /** What could not be checked, with the stages that it is about. */
  readonly unchecked: Map<string, string[]>;
  readonly dataSteps: DataStepFigures[];
}

/** The diagnosis of a checked pipeline. Throws RunInterrupted; whatever else goes wrong is a finding. */
export async function diagnosePipeline(
  pipeline: ExaminedPipeline,
  options: DiagnoseOptions,
): Promise<PipelineDiagnosis> {
  // The pipeline decides this for all stages, as in a real run.
  const compute = Compute.open({ threads: pipeline.threads });
  const known: Knowledge = {
    ...{ roots: new Map(), diagnoses: new Map(), findings: [], unchecked: new Map(), dataSteps: [] },
  };
  for (const stage of pipeline.stages) {
    if (options.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    if (isTrain(stage)) await lookAtTraining(stage, pipeline, known, { ...options, compute });
    else await lookAtDataStep(stage as DataStage, pipeline, known);
  }
  await lookAtSuites(pipeline, known);
  return conclude(pipeline, known);
}

async function lookAtTraining(
  stage: TrainStage,
  pipeline: ExaminedPipeline,
  known: Knowledge,
  options: DiagnoseOptions,
): Promise<void> {
  const { recipe } = stage.work;
  const maker = modelMaker(stage);
  const root = maker === undefined ? await rootOf(recipe) : known.roots.get(maker);
  known.roots.set(stage.name, root);
  if (maker !== undefined && root === undefined) {
    note(known, "everything: the model that it descends from could not be looked at", stage.name);
    return;
  }
  const earlier: FromEarlierStages | undefined =
    root === undefined || stage.references.length === 0
      ? undefined
      : {
          model: maker === undefined ? root : descendedModel(root, maker, recipe),
          supportingModels: supportingModelsMade(stage, pipeline, known),
          dataMaker: dataMaker(stage),
        };
  const onProgress = options.onProgress && ((text: string) => options.onProgress!(`${stage.name}/${text}`));
  const diagnosis = await diagnose(recipe, { ...options, ...(onProgress && { onProgress }) }, earlier);
  known.diagnoses.set(stage.name, diagnosis);
  for (const finding of diagnosis.findings)
    known.findings.push({ ...finding, stage: inside(stage.name, finding.stage) });
  for (const what of diagnosis.unchecked) note(known, what, stage.name);
  known.findings.push(...longerDataFindings(stage, pipeline));
}

/** The model of a recipe; undefined where it cannot be read, which `diagnose` reports. */
async function rootOf(recipe: Recipe): Promise<ExaminedModel | undefined> {
  try {
    return await openExaminedModel(recipe);
  } catch (error) {
    if (error instanceof AhaError) return undefined;
    throw error;
  }
}

/** Teachers and reward models that earlier stages make, by the path where they will be. */
function supportingModelsMade(
  stage: ExaminedStage,
  { outputPath }: ExaminedPipeline,
  { roots }: Knowledge,
): Map<string, ModelConfig | undefined> {
  return new Map(supportingModelMakers(stage).map((from) => [outputPath(from), roots.get(from)?.config]));
}

/** Training on data that a step samples longer than the trainer reads. */
function longerDataFindings(stage: TrainStage, { stages }: ExaminedPipeline): Finding[] {
  const maker = stages.find(({ name }) => name === dataMaker(stage));
  const sampled = maker && sampledWork(maker);
  if (sampled === undefined) return [];
  const { maxCompletionTokens } = sampled;
  return stage.work.recipe.stages.flatMap((inner): Finding[] => {
    const read = trainers.get(inner.trainer).examination?.longestRead?.(inner);
    if (read === undefined || read.tokens >= maxCompletionTokens) return [];
    return [
      {
        severity: "warning",
        id: "data-longer",
        stage: inside(stage.name, inner.name),
        measured: `at most ${read.tokens} tokens are read; ${maker!.name} samples up to ${maxCompletionTokens}`,
        why: read.isCut ? "long ones are cut and teach no end" : "long ones are left out",
        advice: "raise maxTokens (and batchTokens), or lower the data step's maxCompletionTokens",
      },
    ];
  });
}

/** What a stage samples to make data of; undefined: nothing, or it trains. */
function sampledWork({ work }: ExaminedStage): SampledWork | undefined {
  return work.kind === "data" ? work.step.sampled?.(work.config) : undefined;
}

/** The longest completions that a stage of a recipe samples; undefined: it samples none. */
function sampledTokens(stage: StageConfig): number | undefined {
  return trainers.get(stage.trainer).examination?.maxCompletionTokens?.(stage);
}

async function lookAtDataStep(stage: DataStage, pipeline: ExaminedPipeline, known: Knowledge): Promise<void> {
  const { name, work } = stage;
  const { step, config } = work;
  const sampled = sampledWork(stage);
  known.dataSteps.push(dataStepFigures(name, step.name, sampled));
  const about: StepKnowledge =
    sampled === undefined
      ? { contextTokens: null, trainedAt: undefined, task: undefined }
      : await sampledKnowledge(stage, sampled, pipeline, known);
  const found = step.findings?.(config, about) ?? [];
  known.findings.push(...found.map((finding) => inStage(finding, name)));
}

/** What is known of the model and the task of a step that samples. */
async function sampledKnowledge(
  stage: DataStage,
  { model: path, engine, task: spec, seed }: SampledWork,
  pipeline: ExaminedPipeline,
  known: Knowledge,
): Promise<StepKnowledge> {
  const maker = modelMaker(stage);
  const asRecipe = { model: { path }, engine } as Recipe;
  const model = maker === undefined ? await sampledModel(asRecipe, stage, known) : known.roots.get(maker);
  const task = dataMaker(stage) === undefined ? await taskOf(spec, seed, model, known, stage.name) : undefined;
  const trainedBy = pipeline.stages.find(({ name }) => name === maker);
  const lengths = trainedBy && isTrain(trainedBy) ? trainedBy.work.recipe.stages : [];
  const trainedAt = lengths.map(sampledTokens).findLast((length) => length !== undefined);
  return { contextTokens: model?.figures.contextTokens ?? null, trainedAt, task };
}

/** A data step in numbers. */
function dataStepFigures(name: string, step: string, sampled: SampledWork | undefined): DataStepFigures {
  if (sampled === undefined) return { name, step, prompts: null, completions: null, maxCompletionTokens: null };
  const { prompts, samples, maxCompletionTokens } = sampled;
  return { name, step, prompts, completions: prompts * samples, maxCompletionTokens };
}

async function sampledModel(
  asRecipe: Recipe,
  { name }: DataStage,
  known: Knowledge,
): Promise<ExaminedModel | undefined> {
  try {
    const model = await openExaminedModel(asRecipe);
    if (!model.figures.available) note(known, `the model ${model.figures.source} is not on this machine`, name);
    return model;
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    known.findings.push(inStage(refusal("model", error.message), name));
    return undefined;
  }
}

/** The task, where its data and the tokenizer are on this machine. */
async function taskOf(
  spec: Recipe["task"],
  seed: number,
  model: ExaminedModel | undefined,
  known: Knowledge,
  stage: string,
): Promise<Task | undefined> {
  const local = await withLocalData({ model: {}, task: spec } as Recipe);
  if (local === undefined) {
    note(known, "the task's problems: its data set is not on this machine (aha data pull)", stage);
    return undefined;
  }
  const { tokenizer } = model ?? {};
  try {
    return await createTask(local.task, {
      seed,
      ...(tokenizer && { renderChat: (messages, more) => tokenizer.applyChatTemplate(messages, more) }),
    });
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    if (tokenizer === undefined)
      note(known, `the task's problems, without the model's tokenizer: ${error.message}`, stage);
    else known.findings.push(inStage(refusal("task", error.message), stage));
    return undefined;
  }
}

/** Suites that cannot be made, or that cut answers which training allows. */
async function lookAtSuites({ suites, stages, seed }: ExaminedPipeline, known: Knowledge): Promise<void> {
  const model = [...known.roots.values()].find((root) => root !== undefined);
  for (const { name, task: spec, problems, maxCompletionTokens } of suites) {
    const place = `suite ${name}`;
    const task = await taskOf(spec, seed, model, known, place);
    try {
      task?.heldOut(problems);
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
      known.findings.push(inStage(refusal("task", error.message), place));
    }
    const names = singleTasks(spec).map((one) => one.name);
    const cut = stages.filter(isTrain).flatMap((stage) => {
      const same = singleTasks(stage.work.recipe.task).every((one) => names.includes(one.name));
      const longer = stage.work.recipe.stages.filter((inner) => (sampledTokens(inner) ?? 0) > maxCompletionTokens);
      return same ? longer.map((inner) => inside(stage.name, inner.name)) : [];
    });
    if (cut.length === 0) continue;
    known.findings.push({
      ...{ severity: "warning", id: "evaluation-shorter", stage: place },
      measured: `maxCompletionTokens ${maxCompletionTokens}; more in ${cut.join(", ")}`,
      why: "answers that training allows are cut in evaluation and count as wrong",
      advice: "make the limits equal",
    });
  }
}

function conclude({ name }: ExaminedPipeline, known: Knowledge): PipelineDiagnosis {
  const { diagnoses, findings, unchecked, dataSteps } = known;
  const stages = [...diagnoses].flatMap(([stage, diagnosis]) =>
    diagnosis.stages.map((figures) => ({ ...figures, name: inside(stage, figures.name) })),
  );
  const models: Record<string, ModelFigures> = {};
  for (const [stage, { model }] of diagnoses) if (model !== null) models[stage] = model;
  const peaks = [...diagnoses].flatMap(([stage, { estimatedPeakBytes: bytes }]) =>
    bytes === null ? [] : [{ stage, bytes }],
  );
  const most = peaks.reduce<{ stage: string; bytes: number } | undefined>(
    (best, one) => (best === undefined || one.bytes > best.bytes ? one : best),
    undefined,
  );
  // If several stages take too much memory, only the largest is reported.
  const told = findings.filter(({ id, stage }) => id !== "memory" || stage === inside(most!.stage, undefined));
  const times = [...diagnoses.values()].map(({ estimatedSeconds }) => estimatedSeconds);
  const isTimed = dataSteps.every(({ completions }) => completions === null) && times.every((time) => time !== null);
  const untimed = isTimed ? [] : ["the time of the whole: only stages that need no others are sampled"];
  const sorted = worstFirst(told);
  return {
    ...{ recipe: name, model: [...diagnoses.values()][0]?.model ?? null, models, stages, dataSteps },
    evaluationSeconds: null,
    estimatedSeconds: isTimed ? times.reduce<number>((sum, time) => sum + time!, 0) : null,
    estimatedPeakBytes: most?.bytes ?? null,
    machineMemoryBytes: totalmem(),
    deviceMemory: mostOf([...diagnoses.values()].flatMap((one) => one.deviceMemory ?? [])),
    findings: sorted,
    unchecked: [...[...unchecked].map(([what, where]) => `${what} (${where.join(", ")})`), ...untimed],
    counts: countBySeverity(sorted),
  };
}

/** That of the stage that takes most; null where none is computed on a GPU. */
function mostOf(needs: readonly DeviceMemoryFigures[]): DeviceMemoryFigures | null {
  return needs.reduce<DeviceMemoryFigures | null>((most, one) => (most && most.bytes >= one.bytes ? most : one), null);
}

function isTrain(stage: ExaminedStage): stage is TrainStage {
  return stage.work.kind === "train";
}

/** Name of a recipe's stage in a pipeline's stage. */
function inside(stage: string, inner: string | undefined): string {
  return inner === undefined ? stage : `${stage}/${inner}`;
}

function note({ unchecked }: Knowledge, what: string, stage: string): void {
  unchecked.set(what, [...(unchecked.get(what) ?? []), stage]);
}
