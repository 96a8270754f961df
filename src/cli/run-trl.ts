/**
 * `aha run --trl FILE`: a TRL recipe as it stands, what became of its keys in words or as JSON, and the recipe to run.
 *
 * What a file names is looked for on this machine: models and data sets that are directories and files here. All the rest
 * is `recipe/trl/`.
 */

import { existsSync, statSync } from "node:fs";
import { dirname, isAbsolute, resolve } from "node:path";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { formatHubReference, parseHubReference } from "../hub/reference.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { TrlConversion } from "../recipe/trl/conversion.ts";
import { convertTrl, type TrlPlaces } from "../recipe/trl/convert.ts";
import { fitToModel } from "../recipe/trl/fit.ts";
import type { TextFile } from "../recipe/trl/launcher.ts";
import { MAX_RECIPE_BYTES } from "../recipe/yaml.ts";
import type { CommandContext } from "./command.ts";
import { openModel } from "./model-directory.ts";
import { wholeNumberOption } from "./parse-options.ts";
import { trlText } from "./trl-text.ts";

/** The part of `aha run --help` about TRL recipes. */
export const TRL_HELP = `  --trl FILE        run a recipe of Hugging Face's TRL (GRPOConfig in YAML, as Mini-R1 and unlock-deepseek have) as it
                    stands; prints what each key became. --set replaces keys of it: --set max_steps=20
  --model DIR       a model in place of the file's; prompts and completions that it has no room for become shorter
  --data FILE       problems, {"nums": [6, 3, 3], "target": 54} a line, in place of the file's data set; a Countdown
                    data set that is not on this machine is replaced by generated problems
  --prompt NAME     english (Mini-R1's), chinese (unlock-deepseek's) or compact; the file's keys tell which script's
  --num-processes N how many processes the file was written for: they multiply its batch (1)
  --accelerate FILE accelerate's configuration, for num_processes and DeepSpeed's settings
  --trl-version V   0.14 or 1.16: whether per_device_train_batch_size counts prompts or completions, and which defaults
                    hold; 0.14 where the file has keys that only old versions had
  --dry-run         print what the recipe becomes, and stop
`;

/** Options that need --trl. */
export const TRL_OPTIONS = {
  trl: { type: "string" },
  model: { type: "string" },
  data: { type: "string" },
  prompt: { type: "string" },
  "num-processes": { type: "string" },
  accelerate: { type: "string" },
  "trl-version": { type: "string" },
  "dry-run": { type: "boolean" },
} as const;

/** Values of the options of `aha run`, as far as a TRL recipe is concerned. */
export interface TrlValues {
  readonly set?: string[] | undefined;
  readonly out?: string | undefined;
  readonly model?: string | undefined;
  readonly data?: string | undefined;
  readonly prompt?: string | undefined;
  readonly "num-processes"?: string | undefined;
  readonly accelerate?: string | undefined;
  readonly "trl-version"?: string | undefined;
  readonly "dry-run"?: boolean | undefined;
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
      model,
      data: values.data === undefined ? undefined : dataFile(values.data),
      prompt: values.prompt,
      version: values["trl-version"],
      numProcesses: processes === undefined ? undefined : wholeNumberOption("num-processes", processes, 1),
      out: values.out,
      launcher,
    },
    PLACES,
  );
  const conversion = model === undefined ? converted : await fitToModel(converted, model, values.prompt !== undefined);
  const { context, mode } = terminal;
  if (mode === "json") context.out(`${JSON.stringify({ type: "trl", file: path, ...conversion })}\n`);
  else if (mode === "text" || values["dry-run"]) context.out(trlText(path, conversion));
  if (!values["dry-run"]) requireComplete(path, conversion);
  const { recipe, version: trlVersion, batch, choices } = conversion;
  return {
    recipe,
    text: file.text,
    record: { from: path, trlVersion, batch, choices },
    directory: conversion.outputDirectory,
  };
}

function requireComplete(path: string, { missing }: TrlConversion): void {
  if (missing.length > 0) throw new ConfigError(`${path} cannot be run: ${missing.join(" ")}`);
}

/** Where a file's names are looked for: on this machine, relative to the working directory, as TRL's scripts do; else a
 * model's on the Hub, from where the run takes it. */
const PLACES: TrlPlaces = {
  model: async (name, revision) => (isDirectory(name) ? resolve(name) : hubName(name, revision)),
  data: async (name) => {
    if (isDirectory(name)) {
      throw new ConfigError(`The data set ${name} is a directory; give the file in it with --data FILE.`);
    }
    return existsSync(name) ? resolve(name) : undefined;
  },
  output: (directory) => !isAbsolute(directory) || isDirectory(dirname(directory)),
};

function hubName(name: string, revision: string | undefined): string | undefined {
  const reference = parseHubReference(name, "model");
  return reference && formatHubReference({ name: reference.name, revision: revision ?? reference.revision });
}

function dataFile(path: string): string {
  if (isDirectory(path)) throw new ConfigError(`--data ${path} is a directory; name the file in it.`);
  return resolve(path);
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

async function readYaml(path: string): Promise<TextFile> {
  return { path, text: await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError }) };
}
