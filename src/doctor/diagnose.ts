/**
 * Looks at a recipe before it is run: what it comes to, and what is wrong with it.
 *
 *     the recipe alone       settings that cancel each other (recipe-findings.ts)
 *     the task's problems    lengths, overlap, epochs (task-findings.ts)
 *     a few completions      truncation, variance, speed (probe.ts, probe-findings.ts)
 *     shapes                 memory (memory-estimate.ts)
 *
 * Nothing is left behind and nothing is downloaded. What cannot be looked at is said in `unchecked`.
 */

import { availableParallelism, loadavg, totalmem } from "node:os";
import { AhaError, HubError, RunInterrupted } from "../errors.ts";
import { pinHubReferences } from "../recipe/hub-references.ts";
import { openRecipe, recipeChecks } from "../recipe/pipeline.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import { createTask } from "../tasks/registry.ts";
import type { Problem, Task } from "../tasks/task.ts";
import { requireRewardColumns } from "../train/grpo-config.ts";
import { countBySeverity, type Diagnosis, type Finding, type StageFigures, worstFirst } from "./finding.ts";
import { estimatePeakBytes } from "./memory-estimate.ts";
import { type FoundModel, findModel } from "./open-model.ts";
import { type GrpoProbe, isProbed, probeStage, type SftProbe } from "./probe.ts";
import { probeFindings } from "./probe-findings.ts";
import { recipeFindings } from "./recipe-findings.ts";
import { stageFigures } from "./stage-figures.ts";
import {
  epochFindings,
  epochsOf,
  firstProblems,
  lengthFindings,
  overlapFindings,
  type PromptLengths,
  promptLengths,
} from "./task-findings.ts";

/** A prompt's length where it cannot be counted. */
const USUAL_PROMPT_TOKENS = 256;
/** Share of this machine's memory beyond which a run is at risk. */
const MEMORY_WARNING = 0.8;
/** A run this long should have checkpoints. */
const LONG_SECONDS = 3600;
/** Load per processor from which other programs are at work. */
const BUSY = 1.25;
/** Passes over the held-out problems at the boundary of stages: sampled and greedy. */
const BOUNDARY_DECODINGS = 2;

/** How to look. */
export interface DiagnoseOptions {
  /** Completions to sample for each stage; 0 samples and trains nothing. */
  readonly samples: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** What is known of a recipe, as it is found out. */
interface Knowledge {
  readonly findings: Finding[];
  readonly unchecked: string[];
  readonly probes: Map<string, GrpoProbe | SftProbe>;
  task?: Task;
  prompts?: PromptLengths;
}

/** The diagnosis of a checked recipe. Throws RunInterrupted; whatever else goes wrong is a finding. */
export async function diagnose(recipe: Recipe, options: DiagnoseOptions): Promise<Diagnosis> {
  const known: Knowledge = { findings: [], unchecked: [], probes: new Map() };
  const model = await orFinding(known, "model", () => findModel(recipe));
  if (model !== undefined) {
    known.findings.push(...recipeFindings(recipe, model.figures));
    await lookAtTask(recipe, model, known);
    await probe(recipe, model, known, options);
  }
  return conclude(recipe, model, known);
}

/** A diagnosis of a recipe that cannot even be read. */
export function refusedRecipe(name: string, reason: string): Diagnosis {
  const findings = [refusal("recipe", reason)];
  return {
    ...{ recipe: name, model: null, stages: [], evaluationSeconds: null, estimatedSeconds: null },
    ...{ estimatedPeakBytes: null, machineMemoryBytes: totalmem(), findings, unchecked: ["everything else"] },
    counts: countBySeverity(findings),
  };
}

async function lookAtTask(recipe: Recipe, { tokenizer, figures }: FoundModel, known: Knowledge): Promise<void> {
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
    if (stage.trainer === "grpo")
      await orFinding(known, "reward-columns", async () => requireRewardColumns(stage.rewards, task), stage.name);
  }
  if (tokenizer === undefined) {
    known.unchecked.push("lengths of prompts: the model's tokenizer is not on this machine");
    return;
  }
  known.prompts = promptLengths(training, heldOut, tokenizer);
  if (figures.contextTokens !== null)
    known.findings.push(...lengthFindings(recipe, known.prompts, figures.contextTokens));
}

async function probe(recipe: Recipe, model: FoundModel, known: Knowledge, options: DiagnoseOptions): Promise<void> {
  const { findings, unchecked } = known;
  const what = "truncation, variance, rewards and speed";
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
    const prepared = await orFinding(known, "refused", () => openRecipe(local, directory));
    if (prepared === undefined) return;
    try {
      for (const check of recipeChecks(prepared)) await orFinding(known, "refused", check);
      if (findings.some(({ severity }) => severity === "error")) return;
      let trainedBefore: string | undefined;
      for (const stage of recipe.stages) {
        if (!isProbed(stage)) {
          unchecked.push(`speed of ${stage.name}: stages of ${stage.trainer} are not probed`);
          trainedBefore = stage.name;
          continue;
        }
        const found = await orFinding(known, "probe", () => probeStage(prepared, stage, options), stage.name);
        if (found !== undefined) {
          known.probes.set(stage.name, found);
          findings.push(...probeFindings(stage, found, trainedBefore));
        }
        trainedBefore = stage.name;
      }
    } finally {
      await prepared.engine.dispose();
    }
  });
}

function conclude(recipe: Recipe, model: FoundModel | undefined, known: Knowledge): Diagnosis {
  const { task, prompts, probes, findings } = known;
  const stages = recipe.stages.map((stage) => {
    const found = probes.get(stage.name);
    const perDemonstration = found?.kind === "sft" ? found.tokensPerStep / found.demonstrationsPerStep : undefined;
    const epochs = task && epochsOf(stage, task, perDemonstration);
    if (task) findings.push(...epochFindings(stage, task, epochs));
    return stageFigures(stage, { prompts, epochs, probe: found });
  });
  const evaluationSeconds = evaluationTime(recipe, [...probes.values()]);
  const trainingSeconds = addAll(stages.map((stage) => stage.estimatedSeconds));
  const estimatedSeconds = trainingSeconds === null ? null : trainingSeconds + (evaluationSeconds ?? 0);
  if (trainingSeconds !== null && evaluationSeconds === null) {
    known.unchecked.push("the time of held-out evaluations: no stage samples, so its speed was not measured");
  }
  for (const [i, figures] of stages.entries()) findings.push(...checkpointFindings(recipe.stages[i]!, figures));
  const machineMemoryBytes = totalmem();
  const estimatedPeakBytes = model?.config
    ? estimatePeakBytes(model.config, recipe, prompts?.max ?? USUAL_PROMPT_TOKENS)
    : null;
  if (estimatedPeakBytes === null) known.unchecked.push("memory: the model's shape is not known");
  else findings.push(...memoryFindings(estimatedPeakBytes, machineMemoryBytes, model?.figures.available === true));
  const sorted = worstFirst(findings);
  return {
    ...{ recipe: recipe.name, model: model?.figures ?? null, stages, evaluationSeconds, estimatedSeconds },
    ...{ estimatedPeakBytes, machineMemoryBytes, findings: sorted, unchecked: known.unchecked },
    counts: countBySeverity(sorted),
  };
}

/** Of all held-out evaluations, by the speed and the lengths of the first GRPO stage's probe; null without one. */
function evaluationTime({ stages, evaluation }: Recipe, probes: readonly (GrpoProbe | SftProbe)[]): number | null {
  const grpo = probes.find((one) => one.kind === "grpo");
  if (grpo === undefined) return null;
  const during = stages.map((stage) => {
    const units = ("iterations" in stage ? stage.iterations : stage.steps) ?? 0;
    return stage.evaluateEvery === 0 ? 0 : Math.floor((units - 1) / stage.evaluateEvery);
  });
  const passes = BOUNDARY_DECODINGS * (stages.length + 1) + during.reduce((sum, count) => sum + count, 0);
  const length = Math.min(grpo.meanCompletionTokens, evaluation.maxCompletionTokens);
  return (passes * evaluation.problems * length) / grpo.samplingTokensPerSecond;
}

/** Other programs at work make every measured time too long. */
function loadFindings(): Finding[] {
  const load = loadavg()[0]!;
  const processors = availableParallelism();
  if (load <= BUSY * processors) return [];
  return [
    {
      severity: "note",
      id: "machine-busy",
      measured: `load ${load.toFixed(1)} on ${processors} processors`,
      why: "estimated times are those of the machine as it is now, with what else runs on it",
      advice: "measure again when it is quiet",
    },
  ];
}

/** `isHere`: the model is on this machine; else another one is probably meant to train it. */
function memoryFindings(estimate: number, machine: number, isHere: boolean): Finding[] {
  if (estimate <= MEMORY_WARNING * machine) return [];
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    {
      severity: isHere && estimate > machine ? "error" : "warning",
      id: "memory",
      measured: `about ${gib(estimate)} at the peak, this machine has ${gib(machine)}`,
      why: "a process without memory is killed",
      advice:
        "train an adapter (model.lora, quantization nf4), set engine.gradientCheckpointing, or take a larger machine",
    },
  ];
}

function checkpointFindings(stage: StageConfig, { estimatedSeconds }: StageFigures): Finding[] {
  if (estimatedSeconds === null || estimatedSeconds < LONG_SECONDS || stage.checkpointEvery > 0) return [];
  return [
    {
      severity: "warning",
      id: "no-checkpoints",
      stage: stage.name,
      measured: `about ${(estimatedSeconds / 3600).toFixed(1)} hours, checkpointEvery 0`,
      why: "a run that is killed loses the whole stage",
      advice: "set checkpointEvery",
    },
  ];
}

/** The recipe with data sets of the Hub found in the cache; undefined where they are not there. */
async function withLocalData(recipe: Recipe): Promise<Recipe | undefined> {
  const { path, ...model } = recipe.model;
  try {
    const pinned = await pinHubReferences({ ...recipe, model }, { offline: true });
    return { ...pinned, model: recipe.model };
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

/** What `work` returns; where it throws what a user can mend, an error finding is added instead. */
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
    if (!findings.some(({ measured }) => measured === message)) findings.push(refusal(id, message, stage));
    return undefined;
  }
}

function refusal(id: string, measured: string, stage?: string): Finding {
  const why = "aha run would refuse it";
  return {
    severity: "error",
    id,
    ...(stage === undefined ? {} : { stage }),
    measured,
    why,
    advice: "mend what it says",
  };
}

/** The sum; null where a part is not known. */
function addAll(parts: readonly (number | null)[]): number | null {
  return parts.reduce((sum, part) => (sum === null || part === null ? null : sum + part), 0);
}
