/**
 * From a TRL recipe (the YAML that `accelerate launch script.py --config FILE` takes, snake_case) to an Aha recipe of
 * one stage, with a line for every key that says what it became. The file is taken as it stands: what TRL would take by
 * default for keys that are not there is put into the recipe, not what Aha would.
 *
 * Which trainer the file is for is recognised by its keys (`trainer-of.ts`); what every trainer has is here, what each
 * has by itself is in `grpo.ts` and `rows.ts`. What scripts hard-code, tasks and prompts, is in `data/`; rewards are
 * `rewards.ts`'s.
 */

import { ConfigError, nearestName } from "../../errors.ts";
import { checkRecipe } from "../load.ts";
import { applyOverrides } from "../overrides.ts";
import { type Recipe, recipeSchema } from "../schema.ts";
import { repeatedKeysOf } from "../yaml.ts";
import { requireNoAdapter, setAdapter } from "./adapter.ts";
import { runsInTrl } from "./batch.ts";
import type { TrlBatch } from "./batch-report.ts";
import { type TrlConversion, TrlDraft } from "./conversion.ts";
import { COUNTDOWN_SET } from "./data/countdown.ts";
import { type NamedSets, namedSets } from "./data/named-sets.ts";
import { type FindData, surveyData } from "./data/survey.ts";
import { batchNumbers, type ProgramParts, setGroups } from "./grpo.ts";
import { LAUNCHER_KEYS } from "./keys/every-trainer.ts";
import { type Launch, launchOf, type TextFile } from "./launcher.ts";
import { setOptimizer } from "./objective.ts";
import { type AskedEngine, setEngine } from "./other-engine.ts";
import { setReporting } from "./reporting.ts";
import { refuseCodeRewards } from "./rewards.ts";
import { setDistillation, setRewardModel, setSft } from "./rows.ts";
import { readMapping, settingsOf, shown, type TrlSettings } from "./settings.ts";
import { trainerOf } from "./trainer-of.ts";
import { type TrlTrainer, trlTrainers } from "./trainers.ts";
import { readingOf, type TrlReading } from "./version.ts";

/** What the user says beside the file. */
export interface TrlOptions {
  /** `key=value`: keys of TRL, applied to the file; keys of the recipe, applied to what it becomes. */
  readonly overrides?: readonly string[];
  /** Which trainer the file is for, where its keys leave a choice. */
  readonly trainer?: string | undefined;
  /** A model directory that stands in for model_name_or_path. */
  readonly model?: string | undefined;
  /** A data set, a path or a name on the Hub, that stands in for the file's. */
  readonly data?: string | undefined;
  readonly prompt?: string | undefined;
  readonly version?: string | undefined;
  readonly numProcesses?: number | undefined;
  /** Where the run goes, in place of output_dir. */
  readonly out?: string | undefined;
  /** Another engine than the embedded one. */
  readonly engine?: AskedEngine | undefined;
  /** accelerate's file. */
  readonly launcher?: TextFile | undefined;
}

/** Finds what a file names; undefined is what is not here. */
export interface TrlPlaces {
  /** A model as the recipe names it: a directory, or a name on the Hub. */
  readonly model: (name: string, revision: string | undefined) => Promise<string | undefined>;
  /** A model that has to be on this disk. */
  readonly modelDirectory: (name: string) => Promise<string | undefined>;
  readonly data: FindData;
  /** The chat template that chat_template_path names: a file, or a tokenizer's directory. */
  readonly chatTemplate: (path: string) => Promise<string | undefined>;
  /** Whether a run can go to this output_dir. */
  readonly output: (directory: string) => boolean;
}

/**
 * Converts `file`.
 *
 * @throws ConfigError for keys, values or numbers that cannot be run, by name; DataError for bad data
 */
export async function convertTrl(file: TextFile, options: TrlOptions, places: TrlPlaces): Promise<TrlConversion> {
  const overrides = sortOverrides(options.overrides ?? []);
  requireTraining(file);
  const mapping = readMapping(file.text, file.path, overrides.trl);
  const { trainer, because } = trainerOf(mapping, file.path, options.trainer);
  refuseCodeRewards(mapping.reward_funcs, file.path);
  const settings = settingsOf(mapping, file.path, {
    keys: trainer.keys,
    unknown: (key) => unknownKey(key, trainer, because),
  });
  const draft = new TrlDraft(settings, trainer);
  const repeated = repeatedKeysOf(file.text);
  if (repeated.length > 0) {
    draft.choices.push({
      what: "written twice",
      chosen: `${repeated.join(", ")}: the last value counts, as in PyYAML`,
    });
  }
  const { reading, launch } = readFile(settings, trainer, draft, options);

  setNames(draft, file.path, options, places);
  setReporting(draft, places.output);
  await setModel(draft, options, places);
  if (trainer.name === "reward") requireNoAdapter(draft);
  else setAdapter(draft);
  draft.becomes("seed", "seed", settings.number("seed") ?? 42, { fallback: 42 });
  const batch = await setProgram(draft, trainer, {
    reading,
    numProcesses: launch.numProcesses,
    numProcessesFrom: launch.from,
    ...(await findData(settings, trainer, options, places)),
    askedPrompt: options.prompt,
    modelDirectory: places.modelDirectory,
  });
  setOptimizer(draft, launch.gradientClipping);
  const server = options.engine && setEngine(draft, options.engine, launch);

  return {
    recipe: finished(draft, file.path, overrides.recipe),
    trainer: trainer.name,
    trainerTitle: `${trainer.title} (${trainer.config})`,
    trainerBecause: because,
    version: reading.version,
    versionBecause: reading.because,
    keys: draft.keyLines(),
    defaults: draft.defaultLines(),
    batch,
    choices: draft.choices,
    missing: draft.missing,
    launcherKeys: server?.launcherKeys ?? launch.lines,
    server: server?.command ?? [],
    outputDirectory: draft.paths().has("the run directory") ? settings.text("output_dir") : undefined,
  };
}

function setProgram(draft: TrlDraft, { name }: TrlTrainer, parts: ProgramParts): Promise<TrlBatch> {
  switch (name) {
    case "grpo":
    case "rloo":
      return setGroups(draft, name, parts);
    case "sft":
      return setSft(draft, parts);
    case "reward":
      return setRewardModel(draft, parts);
    case "distillation":
      return setDistillation(draft, parts);
    default:
      return name satisfies never;
  }
}

/** Overrides of TRL's keys, and those of the recipe's. Throws ConfigError for one that is neither. */
function sortOverrides(overrides: readonly string[]): { readonly trl: string[]; readonly recipe: string[] } {
  const known = new Set([...trlTrainers().values()].flatMap(({ keys }) => [...keys.keys()]));
  const sorted = { trl: [] as string[], recipe: [] as string[] };
  for (const override of overrides) {
    const key = override.slice(0, Math.max(0, override.indexOf("="))).trim();
    const first = key.split(".")[0]!;
    if (known.has(first)) sorted.trl.push(override);
    else if (Object.hasOwn(recipeSchema().shape, first)) sorted.recipe.push(override);
    else {
      const nearest = nearestName(first, [...known, ...Object.keys(recipeSchema().shape)]);
      const hint = nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
      throw new ConfigError(`--set ${override}: neither a key of TRL's nor of Aha's recipes.${hint}`);
    }
  }
  return sorted;
}

/** accelerate's file is not a training file, though the two lie side by side. */
function requireTraining({ text, path: source }: TextFile): void {
  // As it stands: what --set adds makes no training file of it.
  const keys = Object.keys(readMapping(text, source));
  if (keys.some((key) => !LAUNCHER_KEYS.has(key))) return;
  throw new ConfigError(
    keys.length === 0
      ? `${source} is empty; expected TRL's keys, such as max_steps: 450.`
      : `${source} has only keys of accelerate (${keys.slice(0, 3).join(", ")}, …): it says how to start processes, not ` +
          `what to train. Give the training file as --trl, and this one as --accelerate ${source}.`,
  );
}

/** What is said of a key that the trainer's file may not have. */
function unknownKey(key: string, trainer: TrlTrainer, because: string): string {
  const owner = [...trlTrainers().values()].find((other) => other.signs.has(key));
  if (owner !== undefined) {
    return `a key of ${owner.config}; the file is read as one of ${trainer.config} (${because}), which has none of that name`;
  }
  return (
    `not a key of TRL's ${trainer.config}, ModelConfig or ScriptArguments, nor of open-r1's, the Alignment Handbook's or the ` +
    "seeds' scripts"
  );
}

interface ReadFile {
  readonly reading: TrlReading;
  readonly launch: Launch;
}

/** Which release the file is of, and what the launcher says. */
function readFile(settings: TrlSettings, trainer: TrlTrainer, draft: TrlDraft, options: TrlOptions): ReadFile {
  const launchIn = ({ defaults }: TrlReading) => {
    const accumulation = settings.number("gradient_accumulation_steps") ?? defaults.gradient_accumulation_steps;
    const paths = { batch: draft.at(BATCH_KEYS[trainer.name]), maxGradNorm: draft.at("maxGradNorm") };
    return launchOf(settings, { file: options.launcher, asked: options.numProcesses, accumulation, paths });
  };
  const works = (reading: TrlReading): boolean =>
    runsInTrl(batchNumbers(settings, "grpo", reading, launchIn(reading).numProcesses), reading);
  const reading = readingOf(settings, trainer, options.version, works);
  return { reading, launch: launchIn(reading) };
}

/** Where the number of processes goes. */
const BATCH_KEYS: Readonly<Record<TrlTrainer["name"], string>> = {
  grpo: "promptsPerIteration",
  rloo: "promptsPerIteration",
  sft: "batchDemonstrations",
  reward: "batchPairs",
  distillation: "promptsPerIteration",
};

/** The data that the user or the file names, and what there is of them. */
async function findData(
  settings: TrlSettings,
  { name: trainer }: TrlTrainer,
  { data }: TrlOptions,
  { data: find }: TrlPlaces,
): Promise<Pick<ProgramParts, "named" | "survey">> {
  const named = namedSets(settings);
  if (data !== undefined) {
    const given: NamedSets = {
      ...{ key: named?.key ?? COUNTDOWN_SET.key, test: undefined, seed: undefined, sharesOfMixture: false },
      sets: [{ name: data, config: undefined, split: undefined, share: 1, first: undefined }],
    };
    return { named, survey: await surveyData(given, true, find) };
  }
  // The Countdown scripts have a data set of their own; others have none.
  if (named === undefined && trainer !== "grpo" && trainer !== "rloo") throw noData(settings);
  return { named, survey: await surveyData(named ?? COUNTDOWN_SET, false, find) };
}

function noData({ source }: TrlSettings): ConfigError {
  return new ConfigError(`${source} names no data (dataset_name, dataset_mixture); give some with --data PATH.`);
}

/** The recipe's name, its question, and where the run goes. */
function setNames(draft: TrlDraft, path: string, options: TrlOptions, places: TrlPlaces): void {
  const { settings } = draft;
  const file = path.split(/[\\/]/).at(-1)!;
  const name = settings.text("run_name") ?? file.replace(/\.ya?ml$/i, "");
  const safe = name
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[-_]+/, "")
    .slice(0, 64);
  const recipeName = safe === "" || /^\d+$/.test(safe) ? `trl-${safe}` : safe;
  if (settings.has("run_name")) draft.becomes("run_name", "name", recipeName);
  else draft.put("name", recipeName);
  draft.put("question", `What does the TRL recipe ${file} teach, as it stands?`);
  setOutput(draft, options, places);
}

/** The run goes to output_dir, unless the user gives another directory, or output_dir is a place on another machine. */
function setOutput(draft: TrlDraft, { out }: TrlOptions, places: TrlPlaces): void {
  const directory = draft.settings.text("output_dir");
  if (directory === undefined) return;
  if (out !== undefined) draft.hasNoEffect("output_dir", `--out ${out} is given`);
  else if (places.output(directory)) draft.goesTo("output_dir", "the run directory", directory);
  else draft.hasNoEffect("output_dir", "the folder that it is in is not on this machine; the run goes to runs/");
}

async function setModel(draft: TrlDraft, options: TrlOptions, places: TrlPlaces): Promise<void> {
  const { settings } = draft;
  await setTokenizer(draft, places);
  const name = settings.text("model_name_or_path");
  const revision = settings.text("model_revision");
  draft.hasNoEffect(
    "model_revision",
    options.model === undefined ? "the directory is the revision" : "--model is given",
  );
  draft.hasNoEffect("tokenizer_name_or_path", "the model's own tokenizer is used");
  if (options.model !== undefined) {
    draft.becomes("model_name_or_path", "model.path", options.model, { note: "as --model says" });
    return;
  }
  if (name === undefined) {
    throw new ConfigError(`${settings.source} names no model (model_name_or_path); give one with --model DIR.`);
  }
  const tokenizer = settings.text("tokenizer_name_or_path");
  if (tokenizer !== undefined && tokenizer !== name) {
    throw new ConfigError(
      `tokenizer_name_or_path: ${shown(tokenizer)} is not the model's (${shown(name)}); put its files into the model's ` +
        "directory, and leave the key out.",
    );
  }
  const found = await places.model(name, revision);
  if (found === undefined) {
    draft.missing.push(`The model ${name} is not on this machine; --model DIR takes another in its place.`);
  }
  draft.becomes("model_name_or_path", "model.path", found ?? name);
}

/** The chat template and the end token, where the file has its own. */
async function setTokenizer(draft: TrlDraft, places: TrlPlaces): Promise<void> {
  const { settings } = draft;
  const template = settings.text("chat_template");
  const path = settings.text("chat_template_path");
  if (template !== undefined) {
    draft.becomes("chat_template", "model.chatTemplate", template);
    draft.hasNoEffect("chat_template_path", "chat_template goes before it");
  } else if (path !== undefined) {
    const found = await places.chatTemplate(path);
    if (found === undefined) {
      draft.missing.push(
        `The chat template ${path} is not on this machine (a .jinja file, or a tokenizer's directory).`,
      );
    }
    draft.becomes("chat_template_path", "model.chatTemplate", found ?? path);
  }
  const end = settings.text("eos_token");
  if (end !== undefined) draft.becomes("eos_token", "model.eosToken", end);
}

/** The checked recipe, with the user's own overrides of it. */
function finished(draft: TrlDraft, path: string, overrides: readonly string[]): Recipe {
  const owners = draft.paths();
  for (const override of overrides) {
    const key = override.slice(0, override.indexOf("=")).trim();
    const owner = owners.get(key);
    if (owner !== undefined) {
      throw new ConfigError(`--set ${override}: ${key} comes from the file's ${owner}; set that instead.`);
    }
    draft.choices.push({ what: "--set", chosen: override });
  }
  return checkRecipe(applyOverrides(draft.recipe(), overrides) as Record<string, unknown>, path);
}
