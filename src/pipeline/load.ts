/**
 * From a pipeline file and overrides to stages, each with its whole configuration: defaults below, the recipe, `with`
 * above, every key checked by the schema of what the stage does, references checked and replaced. Nothing has been run,
 * and nothing but the pipeline's files (`extends.ts`) and its recipes' was read.
 */

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { DataStep, DataStepConfig } from "../data-steps/step.ts";
import { dataSteps } from "../data-steps/steps.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { type NamedPath, valueAt } from "../named-paths.ts";
import { hashString, philox } from "../random.ts";
import { checkRecipe } from "../recipe/load.ts";
import { applyOverrides } from "../recipe/overrides.ts";
import { anchoredPaths, recipePaths } from "../recipe/recipe-paths.ts";
import { type Recipe, recipeSchema } from "../recipe/schema.ts";
import { MAX_RECIPE_BYTES, parseYaml } from "../recipe/yaml.ts";
import { createRewards } from "../rewards/on-node.ts";
import { checkOptions, describeIssues, isMapping, type Mapping } from "../strict-schema.ts";
import { taskPaths, taskSpecSchema } from "../tasks/registry.ts";
import { trainers } from "../train/trainers.ts";
import { requirePossibleElsewhere } from "./elsewhere.ts";
import { anchored, isPipeline, readPipeline } from "./extends.ts";
import { mergeConfig } from "./merge.ts";
import { checkReferences, findReferences, type GraphStage, type OutputType, replaceReferences } from "./references.ts";
import {
  type PipelineFile,
  pipelineSchema,
  type StageEntry,
  type SuiteConfig,
  stageKinds,
  stepConfig,
  TRAIN,
} from "./schema.ts";

/** A pipeline file that was read, its stages merged but not yet checked against their schemas. */
export interface LoadedPipeline {
  /** As it was given. */
  readonly path: string;
  /** With overrides and defaults: what a run directory keeps. */
  readonly file: PipelineFile;
  readonly stages: readonly MergedStage[];
  readonly suites: readonly SuiteConfig[];
}

/** A stage whose references still stand. */
export interface MergedStage extends GraphStage {
  /** The key that says what it is: `train`, or the name of a data step. */
  readonly kind: string;
  readonly note: string | undefined;
  readonly isEvaluated: boolean;
  /** It trains an adapter beside frozen weights. */
  readonly isAdapted: boolean;
  readonly config: Mapping;
  /** The file that plain relative paths in it belong to. */
  readonly source: string;
}

/** What a stage does, checked. */
export type StageWork =
  | { readonly kind: "train"; readonly recipe: Recipe }
  | { readonly kind: "data"; readonly step: DataStep; readonly config: DataStepConfig };

/** The paths that the checked configuration of a stage names. */
export function workPaths(work: StageWork): readonly NamedPath[] {
  return work.kind === "train" ? recipePaths(work.recipe) : (work.step.paths?.(work.config) ?? []);
}

/** A stage that can be run once what it needs is there. */
export interface ResolvedStage extends MergedStage {
  readonly work: StageWork;
}

/** Folder of a stage in a pipeline's run directory. */
export function stageFolder(directory: string, stage: string): string {
  return join(directory, "stages", stage);
}

/** Where a stage leaves what it makes: of an adapter's training that is the base with the adapter folded in. */
export function outputPath(
  directory: string,
  { name, makes, isAdapted }: Pick<MergedStage, "name" | "makes" | "isAdapted">,
): string {
  return join(stageFolder(directory, name), makes === "dataset" ? "data" : isAdapted ? "merged" : "model");
}

/** Whether the file of a recipe is a pipeline's. Throws ConfigError where it is no YAML. */
export async function isPipelineFile(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  return isPipeline(parseYaml(await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError }), path));
}

/**
 * Reads the file, applies `overrides` (`seed=2`, `r1-zero.learningRate=1e-4`), merges each stage, and checks the graph.
 *
 * @throws ConfigError listing every problem of one kind
 */
export async function loadPipeline(path: string, overrides: readonly string[] = []): Promise<LoadedPipeline> {
  const written = await readPipeline(path);
  const value = applyOverrides(
    written,
    overrides.map((override) => stageOverride(override, written)),
  );
  const file = anchored(checkFile(value, path), dirname(path)) as PipelineFile;
  const stages: MergedStage[] = [];
  for (const entry of file.pipeline) stages.push(await mergeStage(entry, file, path));
  checkReferences(stages, path);
  return { path, file, stages, suites: suitesOf(file, path) };
}

/**
 * Every stage's configuration checked and complete, its references replaced by paths in the run directory `directory`.
 *
 * @throws ConfigError with the stage and every problem of it
 */
export function resolveStages({ stages }: LoadedPipeline, directory: string): ResolvedStage[] {
  const byName = new Map(stages.map((stage) => [stage.name, stage]));
  const pathOf = (name: string) => outputPath(resolve(directory), byName.get(name)!);
  return stages.map((stage) => {
    const config = replaceReferences(stage.config, stage.references, pathOf) as Mapping;
    const work = checkWork(stage, config);
    const trains = work.kind === "train";
    const engine = trains ? work.recipe.engine : valueAt(work.config, ["engine"]);
    const trained = stage.isAdapted ? "adapter" : "whole";
    requirePossibleElsewhere({
      ...stage,
      training: trains ? trained : undefined,
      engine: engine as EngineSpec | undefined,
      config: stage.config,
    });
    return { ...stage, work };
  });
}

/** The seed of a stage: stages draw different numbers, whatever their place in the list. */
function pipelineStageSeed(seed: number, stage: string): number {
  return philox(seed, hashString("pipeline-stage"), [hashString(stage)])[0];
}

/** `r1-zero.iterations=5` as the override of the file that it means. */
function stageOverride(override: string, file: Mapping): string {
  const [key, equals] = [override.split(/[.=]/, 1)[0]!.trim(), override.indexOf("=")];
  const entries = Array.isArray(file.pipeline) ? (file.pipeline as unknown[]) : [];
  const entry = entries.find((item) => isMapping(item) && item.name === key);
  const dot = override.indexOf(".");
  if (!isMapping(entry) || Object.hasOwn(pipelineSchema().shape, key) || dot < 0 || dot > equals) return override;
  const kind = stageKinds().find((name) => name in entry);
  const rest = override.slice(dot + 1);
  const own = ["with", "note", "evaluate", ...stageKinds()].some((name) => rest.split(/[.=]/, 1)[0]!.trim() === name);
  const inside = own ? "" : kind === TRAIN ? "with." : `${kind}.`;
  return `pipeline.${key}.${inside}${rest}`;
}

function checkFile(value: unknown, path: string): PipelineFile {
  const schema = pipelineSchema();
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const entries = isMapping(value) && Array.isArray(value.pipeline) ? (value.pipeline as unknown[]) : [];
  const issues = describeIssues(checked.error.issues, {
    value,
    schema,
    pathNames: ([first, second, ...rest]) => {
      const entry = first === "pipeline" ? entries[Number(second)] : undefined;
      const name = isMapping(entry) && typeof entry.name === "string" ? entry.name : undefined;
      const parts = name === undefined ? [first, second, ...rest] : [name, ...rest];
      return parts.filter((part) => part !== undefined).join(".");
    },
    furtherKeys: () => [],
  });
  throw new ConfigError(`${path} cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
}

/** The suites, each with a task. */
function suitesOf({ evaluate, defaults }: PipelineFile, path: string): SuiteConfig[] {
  return (evaluate?.suites ?? []).map((suite) => {
    const place = `${path}, evaluate.suites.${suite.name}`;
    if (suite.task === undefined && defaults.task === undefined) {
      throw new ConfigError(`${place}: task is missing, and there is none in the defaults.`);
    }
    const task = suite.task ?? checkOptions(taskSpecSchema(), defaults.task, `${path}, defaults.task`);
    createRewards(suite.rewards);
    return { ...suite, task: anchoredPaths(task, taskPaths(task), dirname(path)) };
  });
}

async function mergeStage(entry: StageEntry, file: PipelineFile, path: string): Promise<MergedStage> {
  const kind = stageKinds().find((name) => entry[name] !== undefined)!;
  const { name, note, evaluate } = entry;
  const seed = pipelineStageSeed(file.seed, name);
  const about = { name, kind, note, isEvaluated: evaluate };
  const step = dataSteps.find(kind);
  if (step !== undefined) {
    const keys = Object.keys(step.schema().shape);
    const defaults = Object.fromEntries(Object.entries(file.defaults).filter(([key]) => keys.includes(key)));
    const config = mergeConfig({ ...defaults, seed }, stepConfig(entry, kind), name);
    const references = findReferences(config, (one) => step.paths?.(one) ?? []);
    return { ...about, config, source: path, isAdapted: false, makes: "dataset", references };
  }
  const given = typeof entry.train === "string" ? resolve(dirname(path), entry.train) : entry.train!;
  const source = typeof given === "string" ? given : path;
  const recipe = typeof given === "string" ? await readRecipe(given, name) : given;
  requireRecipeKeys(file.defaults, path);
  const { seed: _, ...withoutSeed } = mergeConfig(file.defaults, recipe, name);
  const config = { ...mergeConfig({ ...withoutSeed, seed }, entry.with ?? {}, name), name };
  const { model } = config as Mapping;
  const isAdapted = isMapping(model) && (model.lora ?? model.adapter) !== undefined;
  return {
    ...about,
    config,
    source,
    isAdapted,
    makes: outputOf(config),
    references: findReferences(config, recipePaths),
  };
}

async function readRecipe(path: string, stage: string): Promise<Mapping> {
  const text = await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError });
  const value = parseYaml(text, path);
  if (!isMapping(value)) throw new ConfigError(`${stage}.train: ${path}: a recipe is a mapping of keys to values.`);
  if (isPipeline(value)) throw new ConfigError(`${stage}.train: ${path} is a pipeline; a stage takes a recipe.`);
  return anchored(value, dirname(path)) as Mapping;
}

/** Defaults are keys of recipes; a key that no recipe has is a mistake. */
function requireRecipeKeys(defaults: Mapping, path: string): void {
  const known = Object.keys(recipeSchema().shape).filter(
    (key) => !["name", "question", "seed", "stages"].includes(key),
  );
  const strange = Object.keys(defaults).find((key) => !known.includes(key));
  if (strange === undefined) return;
  throw new ConfigError(`${path}: defaults.${strange}: unknown key; known here: ${known.join(", ")}.`);
}

/** A recipe makes what its last trainer trains. */
function outputOf(config: Mapping): OutputType {
  const stages = Array.isArray(config.stages) ? (config.stages as unknown[]) : [config];
  const last = stages.at(-1);
  return isMapping(last) && trainers.find(String(last.trainer))?.trains === "rewardModel" ? "rewardModel" : "model";
}

function checkWork({ name, kind, source }: MergedStage, config: Mapping): StageWork {
  if (kind === TRAIN) return { kind: "train", recipe: checkRecipe(config, `${source}, stage ${name}`) };
  const step = dataSteps.get(kind);
  const schema = step.schema();
  const checked = schema.safeParse(config);
  if (!checked.success) {
    const pathNames = (path: readonly PropertyKey[]) => [name, ...path].join(".");
    const issues = describeIssues(checked.error.issues, { value: config, schema, pathNames, furtherKeys: () => [] });
    throw new ConfigError(`${source} cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
  }
  return { kind: "data", step, config: anchoredPaths(checked.data, step.paths?.(checked.data) ?? [], dirname(source)) };
}
