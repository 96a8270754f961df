/**
 * `aha run --trl FILE`: a TRL recipe as it stands, what each of its keys became (in words or as JSON), and the recipe
 * to run.
 *
 * What a file names is looked for on this machine, then on the Hub. All the rest is `recipe/trl/`.
 */

import { existsSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { ConfigError, DataError, HubError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { HubFailure } from "../hub/failure.ts";
import { formatHubReference, parseHubReference } from "../hub/reference.ts";
import { hubReferenceOf, resolveDataset } from "../hub/resolve.ts";
import { hubSettings } from "../hub/settings.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { TrlConversion } from "../recipe/trl/conversion.ts";
import { convertTrl, type TrlPlaces } from "../recipe/trl/convert.ts";
import type { TrlDataPlace } from "../recipe/trl/data/survey.ts";
import { fitToModel } from "../recipe/trl/fit.ts";
import type { TextFile } from "../recipe/trl/launcher.ts";
import { trlTrainers } from "../recipe/trl/trainers.ts";
import { MAX_RECIPE_BYTES } from "../recipe/yaml.ts";
import { countdownOptionsSchema } from "../tasks/countdown/options.ts";
import { defaultTemplate } from "../tokenizer/tokenizer-config.ts";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import type { CommandContext } from "./command.ts";
import { askedEngine, ENGINE_OPTION } from "./engine-option.ts";
import { HubProgress } from "./hub-progress.ts";
import { openModel } from "./model-directory.ts";
import { wholeNumberOption } from "./parse-options.ts";
import { trlText } from "./trl-text.ts";

/** The part of `aha run --help` about TRL recipes. */
export const TRL_HELP = `  --trl FILE        run a recipe of Hugging Face's TRL as it stands: GRPO, RLOO, SFT, a reward model or distillation, of
                    TRL's own scripts, open-r1's, the Alignment Handbook's, Mini-R1's; prints what each key became
                    (docs/trl.md). --set replaces keys of it: --set max_steps=20
  --trainer NAME    grpo, rloo, sft, reward or distillation, where the file's keys do not tell which it is for
  --model DIR       a model in place of the file's; prompts and completions that it has no room for become shorter
  --data PATH       rows in place of the file's data sets: a file, a folder, or ORG/NAME on the Hub. A Countdown data set
                    that is neither on this machine nor on the Hub is replaced by generated problems
  --prompt NAME     of Countdown: english (Mini-R1's), chinese (unlock-deepseek's) or compact; the file's keys tell which
                    script's
  --num-processes N how many processes the file was written for: they multiply its batch (1)
  --accelerate FILE accelerate's configuration, for num_processes and DeepSpeed's settings
  --engine SPEC     what computes it: tinker, or keys as in a recipe: '{kind: tinker, url: …, profile: …}'. Of a file that
                    trains all weights it becomes an adapter, and accelerate's keys become those of a SkyRL server
  --trl-version V   the release of TRL that the file was written for, 0.14 for one: what per_device_train_batch_size counts,
                    and which defaults hold; the newest one that has all keys of the file
  --dry-run         print what the recipe becomes, and stop
`;

/** Options that need --trl. */
export const TRL_OPTIONS = {
  trl: { type: "string", completes: "recipe" },
  trainer: { type: "string", completes: () => [...trlTrainers().keys()] },
  model: { type: "string", completes: "model" },
  data: { type: "string", completes: "file" },
  prompt: { type: "string", completes: () => countdownOptionsSchema.shape.prompt.unwrap().options },
  "num-processes": { type: "string" },
  accelerate: { type: "string", completes: "recipe" },
  "trl-version": { type: "string" },
  ...ENGINE_OPTION,
  "dry-run": { type: "boolean" },
} as const;

/** Values of the options of `aha run`, as far as a TRL recipe is concerned. */
export interface TrlValues {
  readonly set?: string[] | undefined;
  readonly out?: string | undefined;
  readonly trainer?: string | undefined;
  readonly model?: string | undefined;
  readonly data?: string | undefined;
  readonly prompt?: string | undefined;
  readonly "num-processes"?: string | undefined;
  readonly accelerate?: string | undefined;
  readonly "trl-version"?: string | undefined;
  readonly engine?: string | undefined;
  readonly "dry-run"?: boolean | undefined;
  readonly offline?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

/** A TRL recipe, ready to run. */
export interface OpenedTrlRecipe {
  readonly recipe: Recipe;
  /** The file as it was given. */
  readonly text: string;
  /** For the run's diary: how the file was read, and what it left open. */
  readonly record: Readonly<Record<string, unknown>>;
  /** Where its output_dir says that the run goes; undefined: nowhere on this machine. */
  readonly directory: string | undefined;
}

/** Refuses the options of --trl where it is not there. Throws ConfigError. */
export function requireNoTrlOptions(values: TrlValues): void {
  const given = Object.keys(TRL_OPTIONS).find((name) => name in values);
  if (given === undefined) return;
  throw new ConfigError(`aha run: --${given} goes with --trl FILE; a recipe of Aha's own says this itself (--set).`);
}

/**
 * Converts the TRL recipe in `path` and prints what it became: as text, as one JSON line, or not at all.
 *
 * @throws AhaError for what cannot be run, and, unless it is a dry run, for a model that is not here
 */
export async function openTrlRecipe(
  path: string,
  values: TrlValues,
  terminal: { readonly context: CommandContext; readonly mode: "text" | "json" | "quiet" },
): Promise<OpenedTrlRecipe> {
  const file = await readYaml(path);
  const launcher = values.accelerate === undefined ? undefined : await readYaml(values.accelerate);
  const model =
    values.model === undefined ? undefined : resolve((await openModel(values.model, terminal.context)).modelDirectory);
  const processes = values["num-processes"];
  const converted = await convertTrl(
    file,
    {
      overrides: values.set ?? [],
      trainer: values.trainer,
      model,
      data: values.data,
      prompt: values.prompt,
      version: values["trl-version"],
      numProcesses: processes === undefined ? undefined : wholeNumberOption("num-processes", processes, 1),
      out: values.out,
      engine: values.engine === undefined ? undefined : askedEngine(values.engine),
      launcher,
    },
    placesOf(values, terminal.context),
  );
  const conversion = model === undefined ? converted : await fitToModel(converted, model, values.prompt !== undefined);
  const { context, mode } = terminal;
  if (mode === "json") context.out(`${JSON.stringify({ type: "trl", file: path, ...conversion })}\n`);
  else if (mode === "text" || values["dry-run"]) context.out(trlText(path, conversion));
  if (!values["dry-run"]) requireComplete(path, conversion);
  const { recipe, trainer, version: trlVersion, batch, choices } = conversion;
  return {
    recipe,
    text: file.text,
    record: { from: path, trainer, trlVersion, batch, choices },
    directory: conversion.outputDirectory,
  };
}

function requireComplete(path: string, { missing }: TrlConversion): void {
  if (missing.length > 0) throw new ConfigError(`${path} cannot be run: ${missing.join(" ")}`);
}

/** Where a file's names are looked for: on this machine, relative to the working directory, as TRL's scripts do; else on
 * the Hub, a model's from where the run takes it, data at once, for their rows are counted. */
function placesOf(values: TrlValues, context: CommandContext): TrlPlaces {
  return {
    model: async (name, revision) => (isDirectory(name) ? resolve(name) : hubName(name, revision)),
    modelDirectory: async (name) => (isDirectory(name) ? resolve(name) : undefined),
    chatTemplate: templateAt,
    data: (name, required) => dataPlace(name, required, values, context),
    output: (directory) => !isAbsolute(directory) || isDirectory(dirname(directory)),
  };
}

/** Templates are a few kilobytes. */
const MAX_TEMPLATE_BYTES = 2 ** 20;

/** The time limit for the Hub where a substitute can be used instead. */
const DATA_TIMING = { stallMs: 10_000, backoffMs: 250, maxWaitMs: 60_000 };

async function dataPlace(
  name: string,
  required: boolean,
  values: TrlValues,
  context: CommandContext,
): Promise<TrlDataPlace> {
  if (existsSync(name)) return { path: resolve(name), directory: resolve(name) };
  if (hubReferenceOf(name, "dataset") === undefined) {
    if (required) throw new DataError(`--data ${name} does not exist, and is no name on the Hub (ORG/NAME).`);
    return { absent: "there is no such path" };
  }
  const settings = hubSettings({ offline: values.offline === true, timing: DATA_TIMING });
  const progress = new HubProgress(context, values.quiet || values.json ? "quiet" : "text");
  try {
    // The cache alone answers at once: Ctrl-C is then left to the run, which makes a checkpoint.
    const signal = settings.offline ? undefined : context.signal;
    const { path } = await resolveDataset(name, { settings, signal, onProgress: progress.pull, onNote: progress.note });
    return { path: name, directory: path };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    const isOutOfReach = settings.offline || (error instanceof HubFailure && error.kind === "network");
    if (required || !isOutOfReach) throw error;
    return { absent: settings.offline ? "offline, and not in the cache" : "the Hub cannot be reached" };
  } finally {
    progress.end();
  }
}

/** The text of a .jinja file, or the default template of a tokenizer's directory. */
async function templateAt(path: string): Promise<string | undefined> {
  if (isDirectory(path)) return defaultTemplate(await readTokenizerFiles(diskFolder(path)), path);
  if (!existsSync(path)) return undefined;
  return await readTextFile(path, { maxBytes: MAX_TEMPLATE_BYTES, error: ConfigError });
}

function hubName(name: string, revision: string | undefined): string | undefined {
  const reference = parseHubReference(name, "model");
  return reference && formatHubReference({ name: reference.name, revision: revision ?? reference.revision });
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

async function readYaml(path: string): Promise<TextFile> {
  return { path, text: await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError }) };
}
