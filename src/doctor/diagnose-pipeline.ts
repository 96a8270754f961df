/**
 * Looks at a pipeline before it is run. Each training stage is looked at as a recipe is; what earlier stages will have made
 * is not there, so a stage's model has the shape of the one that it descends from, and data that are to be made are not
 * looked at. Only a stage that takes nothing of others is sampled, which is the first one mostly.
 *
 * Between stages it is looked whether lengths agree: data that are sampled shorter than the policy was trained, SFT that passes
 * over what the data step wrote, suites that cut answers.
 */

import { totalmem } from "node:os";
import { AhaError, RunInterrupted } from "../errors.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { Recipe } from "../recipe/schema.ts";
import { createTask, singleTasks } from "../tasks/registry.ts";
import type { Task } from "../tasks/task.ts";
import { type DataStage, dataStepFigures, dataStepFindings } from "./data-step-findings.ts";
import { type DiagnoseOptions, diagnose, type FromEarlierStages } from "./diagnose.ts";
import { dataMaker, type ExaminedPipeline, type ExaminedStage, modelMaker } from "./examined-pipeline.ts";
import {
  countBySeverity,
  type DataStepFigures,
  type Diagnosis,
  type Finding,
  type ModelFigures,
  type PipelineDiagnosis,
  refusal,
  worstFirst,
} from "./finding.ts";
import { withLocalData } from "./local-data.ts";
import { descendedModel, type FoundModel, findModel } from "./open-model.ts";

/** A stage that trains. */
type TrainStage = ExaminedStage & { readonly work: { readonly kind: "train"; readonly recipe: Recipe } };

/** What is known of a pipeline, as it is found out. */
interface Knowledge {
  /** The model that each training stage's own descends from; undefined where it could not be looked at. */
  readonly roots: Map<string, FoundModel | undefined>;
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
  const known: Knowledge = {
    ...{ roots: new Map(), diagnoses: new Map(), findings: [], unchecked: new Map(), dataSteps: [] },
  };
  for (const stage of pipeline.stages) {
    if (options.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    if (isTrain(stage)) await lookAtTraining(stage, pipeline, known, options);
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
          companions: companionsMade(stage, pipeline, known),
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

/** The model of a recipe; undefined where it cannot be had, which `diagnose` tells. */
async function rootOf(recipe: Recipe): Promise<FoundModel | undefined> {
  try {
    return await findModel(recipe);
  } catch (error) {
    if (error instanceof AhaError) return undefined;
    throw error;
  }
}

/** Teachers and reward models that earlier stages make, by the path where they will be. */
function companionsMade(
  { references }: ExaminedStage,
  { outputPath }: ExaminedPipeline,
  { roots }: Knowledge,
): Map<string, ModelConfig | undefined> {
  const inner = references.filter(({ path }) => path[0] === "stages" || path[0] === "rewards" || path[0] === "teacher");
  return new Map(inner.map(({ from }) => [outputPath(from), roots.get(from)?.config]));
}

/** SFT on data that a step samples longer than SFT reads. */
function longerDataFindings(stage: TrainStage, { stages }: ExaminedPipeline): Finding[] {
  const maker = stages.find(({ name }) => name === dataMaker(stage));
  if (maker === undefined || isTrain(maker)) return [];
  const { config } = (maker as DataStage).work;
  if (!("samples" in config)) return [];
  const { maxCompletionTokens } = config;
  return stage.work.recipe.stages.flatMap((inner): Finding[] => {
    if (inner.trainer !== "sft" && inner.trainer !== "reward_model") return [];
    const limit = inner.trainer === "sft" ? (inner.maxTokens ?? inner.batchTokens) : inner.maxTokens;
    if (limit === undefined || limit >= maxCompletionTokens) return [];
    return [
      {
        severity: "warning",
        id: "data-longer",
        stage: inside(stage.name, inner.name),
        measured: `at most ${limit} tokens are read; ${maker.name} samples up to ${maxCompletionTokens}`,
        why: inner.overlong === "truncate" ? "long ones are cut and teach no end" : "long ones are left out",
        advice: "raise maxTokens (and batchTokens), or lower the data step's maxCompletionTokens",
      },
    ];
  });
}

async function lookAtDataStep(stage: DataStage, pipeline: ExaminedPipeline, known: Knowledge): Promise<void> {
  known.dataSteps.push(dataStepFigures(stage));
  const { config } = stage.work;
  if (!("samples" in config)) return;
  const maker = modelMaker(stage);
  const asRecipe = { model: { path: config.model.path } } as Recipe;
  const model = maker === undefined ? await sampledModel(asRecipe, stage, known) : known.roots.get(maker);
  const task =
    dataMaker(stage) === undefined ? await taskOf(config.task, config.seed, model, known, stage.name) : undefined;
  const trainers = pipeline.stages.find(({ name }) => name === maker);
  const lengths = trainers && isTrain(trainers) ? trainers.work.recipe.stages : [];
  const trainedAt = lengths.findLast((inner) => inner.trainer === "grpo")?.maxCompletionTokens;
  known.findings.push(...dataStepFindings(stage, { model: model?.figures, trainedAt, task }));
}

async function sampledModel(asRecipe: Recipe, { name }: DataStage, known: Knowledge): Promise<FoundModel | undefined> {
  try {
    const model = await findModel(asRecipe);
    if (!model.figures.available) note(known, `the model ${model.figures.source} is not on this machine`, name);
    return model;
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
    known.findings.push(refusal("model", error.message, name));
    return undefined;
  }
}

/** The task, where its data and the tokenizer are on this machine. */
async function taskOf(
  spec: Recipe["task"],
  seed: number,
  model: FoundModel | undefined,
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
    else known.findings.push(refusal("task", error.message, stage));
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
      known.findings.push(refusal("task", error.message, place));
    }
    const names = singleTasks(spec).map((one) => one.name);
    const cut = stages.filter(isTrain).flatMap((stage) => {
      const same = singleTasks(stage.work.recipe.task).every((one) => names.includes(one.name));
      const longer = stage.work.recipe.stages.filter(
        (inner) => inner.trainer === "grpo" && inner.maxCompletionTokens > maxCompletionTokens,
      );
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
  // Of stages that take too much memory the worst is told.
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
    findings: sorted,
    unchecked: [...[...unchecked].map(([what, where]) => `${what} (${where.join(", ")})`), ...untimed],
    counts: countBySeverity(sorted),
  };
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
