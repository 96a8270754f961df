/**
 * One TRL recipe of others: converted as it stands, every key accounted for, and run for two steps on a tiny model with
 * stand-in data of the same columns. The two steps have one group, or one row, of the file's; nothing else is changed.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AhaError } from "../../../../src/errors.ts";
import { prepareRecipe } from "../../../../src/recipe/prepare-recipe.ts";
import { runRecipe } from "../../../../src/recipe/run-recipe.ts";
import type { Recipe } from "../../../../src/recipe/schema.ts";
import type { TrlConversion } from "../../../../src/recipe/trl/conversion.ts";
import { convertTrl, type TrlPlaces } from "../../../../src/recipe/trl/convert.ts";
import { fitToModel } from "../../../../src/recipe/trl/fit.ts";
import { LAUNCHER_KEYS } from "../../../../src/recipe/trl/keys/every-trainer.ts";
import type { TextFile } from "../../../../src/recipe/trl/launcher.ts";
import { readMapping } from "../../../../src/recipe/trl/settings.ts";
import { trainerOf } from "../../../../src/recipe/trl/trainer-of.ts";
import { standInData } from "./stand-ins.ts";

/** What came of a file. */
export type TriedRecipe =
  /** Not a training file of TRL's: accelerate's, another program's. */
  | { readonly outcome: "other"; readonly why: string }
  /** By the name of what Aha has not. */
  | { readonly outcome: "refused"; readonly why: string }
  | { readonly outcome: "failed"; readonly why: string; readonly conversion?: TrlConversion }
  | { readonly outcome: "converted" | "ran"; readonly conversion: TrlConversion; readonly recipe: Recipe };

export interface TryOptions {
  /** Directory of the stand-in model (`writeStandInModel`). */
  readonly model: string;
  readonly runs?: boolean;
  /** `--set` and `--trainer`, as for `aha run --trl`. */
  readonly overrides?: readonly string[];
  readonly trainer?: string | undefined;
}

/** Optimizer steps of a run. */
const STEPS = 2;

/** Tries the file. Errors of Aha's are outcomes; others are thrown. */
export async function tryRecipe(file: TextFile, options: TryOptions): Promise<TriedRecipe> {
  const root = mkdtempSync(join(tmpdir(), "aha-tried-"));
  try {
    return await tried(file, options, root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function tried(file: TextFile, options: TryOptions, root: string): Promise<TriedRecipe> {
  const { overrides = [], trainer, model } = options;
  let conversion: TrlConversion;
  let places: TrlPlaces;
  try {
    const settings = readMapping(file.text, file.path);
    const keys = Object.keys(settings);
    if (keys.every((key) => LAUNCHER_KEYS.has(key))) return { outcome: "other", why: "accelerate's configuration" };
    const reading = trainerOf(settings, file.path, trainer);
    places = {
      model: async (name) => name,
      modelDirectory: async () => model,
      data: standInData(root, { trainer: reading.trainer.name, settings }),
      chatTemplate: async () => "{% for m in messages %}{{ m.content }}{% endfor %}",
      output: () => false,
    };
    conversion = await convertTrl(file, { overrides, trainer }, places);
  } catch (error) {
    if (error instanceof AhaError) return { outcome: "refused", why: error.message };
    throw error;
  }
  const fault = accountFault(file, conversion);
  if (fault !== undefined) return { outcome: "failed", why: fault, conversion };
  if (!options.runs) return { outcome: "converted", conversion, recipe: conversion.recipe };
  try {
    const small = [...overrides, ...smallBatch(conversion)];
    const run = await convertTrl(file, { overrides: small, trainer: conversion.trainer, model }, places);
    const { recipe } = await fitToModel(run, model, false);
    await runTwoSteps(recipe, join(root, "run"));
    return { outcome: "ran", conversion, recipe };
  } catch (error) {
    if (error instanceof AhaError) return { outcome: "failed", why: error.message, conversion };
    throw error;
  }
}

/** Why the report does not account for every key of the file, each once and in order, with a place or a reason. */
function accountFault(file: TextFile, { keys }: TrlConversion): string | undefined {
  const written = Object.keys(readMapping(file.text, file.path));
  const told = keys.map(({ key }) => key);
  if (written.join() !== told.slice(0, written.length).join())
    return `keys are not told as written: ${told.join(", ")}`;
  const silent = keys.filter(({ path, note }) => path === null && note === "").map(({ key }) => key);
  return silent.length === 0 ? undefined : `nothing is said of ${silent.join(", ")}`;
}

/** Overrides that leave two steps of one group or two rows each, short completions, and no adapter of a large model. */
function smallBatch({ trainer, batch, version }: TrlConversion): string[] {
  const group = batch.kind === "groups" ? Math.min(4, batch.numbers.groupSize) : 1;
  const passes = batch.kind === "groups" ? batch.stepsPerIteration : 1;
  const perDevice = batch.kind === "groups" ? (version === "0.14" ? 1 : group) : trainer === "sft" ? 2 : 1;
  const samples = trainer !== "sft" && trainer !== "reward";
  const sampling = trainer === "distillation" ? [] : [`num_generations=${group}`];
  const generation = batch.kind === "groups" ? ["steps_per_generation=null", "generation_batch_size=null"] : [];
  return [
    `max_steps=${STEPS * Math.max(1, passes)}`,
    `per_device_train_batch_size=${perDevice}`,
    "gradient_accumulation_steps=1",
    "num_processes=1",
    "deepspeed_config=null",
    "save_strategy=no",
    "eval_strategy=no",
    "evaluation_strategy=null",
    "engine.threads=1",
    "evaluation.greedy=never",
    ...(samples ? [...sampling, ...generation, "max_completion_length=8"] : ["evaluation.maxCompletionTokens=8"]),
  ];
}

async function runTwoSteps(recipe: Recipe, out: string): Promise<void> {
  const small = { ...recipe, evaluation: { ...recipe.evaluation, problems: Math.min(2, recipe.evaluation.problems) } };
  const prepared = await prepareRecipe(small, { out });
  try {
    const summary = await runRecipe(prepared);
    if (summary.stages[0]!.steps < STEPS) throw new Error(`only ${summary.stages[0]!.steps} steps were run`);
  } finally {
    await prepared.close();
  }
}
