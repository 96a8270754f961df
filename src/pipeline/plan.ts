/**
 * The plan: which stages would run, which are reused, and why. A stage's result is a function of its ingredients, and the
 * hash of these names it; whether a stage runs is whether that name has changed.
 *
 * What an earlier stage will make is not known before it has run, so of those after it the plan only says that they wait
 * for it. The runner asks again when it comes to them: a stage whose inputs turned out the same bytes is reused.
 */

import { existsSync } from "node:fs";
import { dirname, relative, sep } from "node:path";
import { ConfigError, nearestName, shorten } from "../errors.ts";
import { localPaths } from "../recipe/recipe-paths.ts";
import type { Ingredients, PipelineLineage, StageRecord } from "../run/pipeline-records.ts";
import { differencesOf } from "../run/recipe-differences.ts";
import { recipeHash } from "../run/recipe-file.ts";
import { isMapping } from "../strict-schema.ts";
import { contentHash } from "./content-hash.ts";
import { supersededResult } from "./directory.ts";
import { checkInputTypes } from "./input-types.ts";
import { outputPath, type ResolvedStage, workPaths } from "./load.ts";
import { outputFault } from "./output-state.ts";
import { needsOf, withDependents } from "./references.ts";

/** Of what stages make, as far as this code decides it: raise it where the same configuration makes something else. */
const STAGE_VERSION = 1;

/** Which stages to run. */
export interface Choice {
  readonly from?: string | undefined;
  readonly only?: string | undefined;
}

/** What happens to one stage, and why. */
export interface PlannedStage {
  readonly stage: ResolvedStage;
  /** run: from its start. resume: where it was interrupted. reuse: it is finished. left: it is not asked for. */
  readonly action: "run" | "resume" | "reuse" | "left";
  readonly reason: string;
  /** It runs because an earlier stage does; should that make the same bytes again, it is reused. */
  readonly isConditional?: boolean;
}

/** Files that were hashed already: a model of gigabytes is read once a session. */
export type HashCache = Map<string, Promise<string>>;

/** What plans are made from. */
export interface PlanInputs {
  readonly stages: readonly ResolvedStage[];
  /** The run directory, absolute. */
  readonly directory: string;
  /** The pipeline's file; paths are remembered relative to it. */
  readonly source: string;
  readonly lineage: Pick<PipelineLineage, "stages" | "superseded" | "threads">;
  readonly hashes: HashCache;
}

/**
 * Refuses a choice of stages that are not there.
 *
 * @throws ConfigError
 */
export function checkChoice(stages: readonly ResolvedStage[], { from, only }: Choice): void {
  if (from !== undefined && only !== undefined) throw new ConfigError("--from and --only exclude each other.");
  const chosen = from ?? only;
  const names = stages.map(({ name }) => name);
  if (chosen === undefined || names.includes(chosen)) return;
  const nearest = nearestName(chosen, names);
  const hint = nearest === undefined ? `The stages are ${names.join(", ")}.` : `Did you mean ${nearest}?`;
  throw new ConfigError(`--${from === undefined ? "only" : "from"}: there is no stage "${chosen}". ${hint}`);
}

/** Names of the stages that are to run again whether or not anything has changed. */
export function forcedStages(stages: readonly ResolvedStage[], { from, only }: Choice): ReadonlySet<string> {
  if (only !== undefined) return new Set([only]);
  return new Set(from === undefined ? [] : withDependents(stages, from));
}

/**
 * The plan of a whole pipeline; reads the files that stages name, and changes nothing.
 *
 * @throws ConfigError for a choice that cannot be met, or a file that is not there or of the wrong kind
 */
export async function planPipeline(inputs: PlanInputs, choice: Choice): Promise<PlannedStage[]> {
  const { stages, lineage } = inputs;
  checkChoice(stages, choice);
  await checkInputTypes(stages, inputs.directory);
  const forced = forcedStages(stages, choice);
  const planned: PlannedStage[] = [];
  for (const stage of stages) {
    const made = planned.filter(({ action }) => action !== "reuse" && action !== "left").map((each) => each.stage.name);
    const waitsFor = needsOf(stage).filter((name) => made.includes(name));
    if (choice.only !== undefined && stage.name !== choice.only) {
      planned.push({ stage, action: "left", reason: `--only ${choice.only}` });
    } else if (forced.has(stage.name) && isForcedAnew(lineage.stages[stage.name])) {
      planned.push({ stage, action: "run", reason: choice.only ? `--only ${choice.only}` : `--from ${choice.from}` });
    } else if (waitsFor.length > 0) {
      planned.push(await planWaiting(inputs, stage, waitsFor));
    } else {
      planned.push(await planStage(inputs, stage));
    }
  }
  if (choice.only !== undefined) await requireInputs(inputs, choice.only);
  return planned;
}

/** --from and --only make only finished stages again; an interrupted stage is continued. */
export function isForcedAnew(record: StageRecord | undefined): boolean {
  return record?.state === "finished";
}

/**
 * The plan of a stage whose inputs are all there.
 *
 * @throws ConfigError for a file that is not there
 */
export async function planStage(inputs: PlanInputs, stage: ResolvedStage): Promise<PlannedStage> {
  const record = inputs.lineage.stages[stage.name];
  const now = await ingredientsOf(inputs, stage);
  const hash = recipeHash(now);
  if (record?.hash === hash && record.state === "begun") {
    return { stage, action: "resume", reason: "it was interrupted" };
  }
  if (record?.hash === hash) {
    const fault = await outputFault(outputPath(inputs.directory, stage), record.output);
    if (fault !== undefined) return { stage, action: "run", reason: fault };
    return { stage, action: "reuse", reason: "nothing has changed" };
  }
  if (await supersededResult(inputs.directory, inputs.lineage, stage.name, hash)) {
    return { stage, action: "reuse", reason: "it was made before, as it is to be now" };
  }
  if (record === undefined) return { stage, action: "run", reason: "not made yet" };
  return { stage, action: "run", reason: `changed: ${changes(stage.name, record.ingredients, now)}` };
}

/** A stage after one that runs: it has changed by itself, or what that makes decides. */
async function planWaiting(
  inputs: PlanInputs,
  stage: ResolvedStage,
  waitsFor: readonly string[],
): Promise<PlannedStage> {
  const record = inputs.lineage.stages[stage.name];
  if (record === undefined) return { stage, action: "run", reason: "not made yet" };
  const now = { ...(await ingredientsOf(inputs, stage)), inputs: record.ingredients.inputs };
  if (recipeHash(now) !== record.hash) {
    return { stage, action: "run", reason: `changed: ${changes(stage.name, record.ingredients, now)}` };
  }
  const fault =
    record.state === "begun" ? undefined : await outputFault(outputPath(inputs.directory, stage), record.output);
  if (fault !== undefined) return { stage, action: "run", reason: fault };
  const each = waitsFor.length > 1 ? "run" : "runs";
  const reason = `${waitsFor.join(" and ")} ${each} before it (reused should that make the same again)`;
  return { stage, action: "run", reason, isConditional: true };
}

/**
 * Refuses --only for a stage whose inputs are not there.
 *
 * @throws ConfigError naming them
 */
async function requireInputs({ stages, lineage, directory }: PlanInputs, only: string): Promise<void> {
  const stage = stages.find(({ name }) => name === only)!;
  const missing: string[] = [];
  for (const name of needsOf(stage)) {
    const record = lineage.stages[name];
    const path = outputPath(directory, stages.find((other) => other.name === name)!);
    if (record?.state !== "finished" || !existsSync(path)) missing.push(name);
    else if ((await outputFault(path, record.output)) !== undefined) {
      throw new ConfigError(
        `--only ${only} needs the output of ${name}, which was changed by hand (${path}). Run without --only: that makes ` +
          "it again and keeps the changed one in superseded/. Data of your own go into a pipeline by their path.",
      );
    }
  }
  if (missing.length === 0) return;
  throw new ConfigError(
    `--only ${only} needs the output of ${missing.join(" and ")}, which is not there yet. Run without --only first.`,
  );
}

/** Everything that the stage's result is a function of; an input that is not made yet is left out. */
export async function ingredientsOf(inputs: PlanInputs, stage: ResolvedStage): Promise<Ingredients> {
  const { stages, directory, source, lineage, hashes } = inputs;
  const outputs = new Map(stages.map((other) => [outputPath(directory, other), other.name]));
  const named = localPaths(workPaths(stage.work)).filter((path) => !outputs.has(path));
  const paths = new Map(named.map((path) => [path, relative(dirname(source), path).split(sep).join("/")]));
  const files: Record<string, string> = {};
  for (const [path, shown] of paths) {
    if (!hashes.has(path)) hashes.set(path, contentHash(path));
    files[shown] = await hashes.get(path)!;
  }
  const made = needsOf(stage).flatMap((name) => {
    const hash = lineage.stages[name]?.output?.hash;
    return hash === undefined ? [] : [[name, hash] as const];
  });
  const config = portable(configOf(stage), (text) =>
    outputs.has(text) ? `@${outputs.get(text)}` : (paths.get(text) ?? text),
  );
  return { version: STAGE_VERSION, kind: stage.kind, config, inputs: Object.fromEntries(made), files };
}

/** The configuration without what changes no result. */
function configOf({ work }: ResolvedStage): unknown {
  if (work.kind === "data") return work.step.identity?.(work.config) ?? work.config;
  const { name: _, question: __, track: ___, ...recipe } = work.recipe;
  return recipe;
}

/** As plain JSON with every text mapped; keys without a value go. */
function portable(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === "string") return map(value);
  if (Array.isArray(value)) return value.map((item: unknown) => portable(item, map));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, portable(inner, map)]])),
  );
}

/** The most changes that are listed; of further ones only the number is given. */
const SHOWN_CHANGES = 3;

/** `r1-zero.learningRate 0.0001 → 0.0002`. */
function changes(name: string, before: Ingredients, after: Ingredients): string {
  const told = differencesOf(before, after).map((difference) => {
    const [part, ...rest] = difference.path;
    if (part === "config") {
      const path = [name, ...stageNames(rest, after.config)].join(".");
      return `${path} ${shown(difference.before)} → ${shown(difference.after)}`;
    }
    if (part === "inputs") return `what ${rest.join(".")} made`;
    if (part === "files") return `the file ${rest.join(".")}`;
    return `Aha's ${part} ${shown(difference.before)} → ${shown(difference.after)}`;
  });
  const more = told.length > SHOWN_CHANGES ? ` and ${told.length - SHOWN_CHANGES} more` : "";
  return told.slice(0, SHOWN_CHANGES).join(", ") + more;
}

/** A recipe's stages by name, and not at all where there is one. */
function stageNames(path: readonly string[], config: unknown): readonly string[] {
  const stages = isMapping(config) && Array.isArray(config.stages) ? (config.stages as unknown[]) : undefined;
  if (path[0] !== "stages" || path[1] === undefined || stages === undefined) return path;
  const stage = stages[Number(path[1])];
  if (stages.length === 1) return path.slice(2);
  return isMapping(stage) && typeof stage.name === "string" ? ["stages", stage.name, ...path.slice(2)] : path;
}

function shown(value: unknown): string {
  return value === undefined ? "absent" : shorten(JSON.stringify(value), 60);
}
