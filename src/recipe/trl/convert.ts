/**
 * From a TRL recipe (the YAML that `accelerate launch script.py --config FILE` takes, snake_case) to an Aha recipe of
 * one GRPO stage, with a line for every key that says what became of it. The file is taken as it stands: what TRL would
 * take by default for keys that are not there is put into the recipe, not what Aha would.
 *
 * What it is not: a reader of the scripts. What those hard-code, the task and the prompt, is `data.ts`'s; the rewards are `rewards.ts`'s.
 */

import { ConfigError, nearestName } from "../../errors.ts";
import { checkRecipe } from "../load.ts";
import { applyOverrides } from "../overrides.ts";
import { recipeSchema } from "../schema.ts";
import { parseYaml } from "../yaml.ts";
import { setAdapter } from "./adapter.ts";
import { type Batch, type BatchNumbers, batchOf } from "./batch.ts";
import { STAGE, type TrlBatch, type TrlConversion, TrlDraft, type TrlRecipe } from "./conversion.ts";
import { dataSetOf, setTask, type TrlDataPlace } from "./data.ts";
import { setDistances } from "./distances.ts";
import { LAUNCHER_KEYS, trainingEntries, trlKeys } from "./keys.ts";
import { requireGrpo } from "./kind.ts";
import { type Launch, launchOf, type TextFile } from "./launcher.ts";
import { type StageLength, setLength, setSchedule } from "./length.ts";
import { setLoss, setOptimizer, setSampling } from "./objective.ts";
import { setRewards } from "./rewards.ts";
import { readSettings, shown, type TrlSettings } from "./settings.ts";
import { readingOf, TRL_VERSIONS, type TrlReading } from "./version.ts";

/** What the user says beside the file. */
export interface TrlOptions {
  /** `key=value`: keys of TRL, applied to the file; keys of the recipe, applied to what it becomes. */
  readonly overrides?: readonly string[];
  /** A model directory that stands in for model_name_or_path. */
  readonly model?: string | undefined;
  /** A data set, a path or a name on the Hub, that stands in for the file's. */
  readonly data?: string | undefined;
  readonly prompt?: string | undefined;
  readonly version?: string | undefined;
  readonly numProcesses?: number | undefined;
  /** Where the run goes, in place of output_dir. */
  readonly out?: string | undefined;
  /** accelerate's file. */
  readonly launcher?: TextFile | undefined;
}

/** Finds what a file names; a model is undefined where it is not here. */
export interface TrlPlaces {
  readonly model: (name: string, revision: string | undefined) => Promise<string | undefined>;
  /** `required`: the user has named it beside the file, so that nothing may stand in for it. Throws AhaError. */
  readonly data: (name: string, required: boolean) => Promise<TrlDataPlace>;
  /** Whether a run can go to this output_dir. */
  readonly output: (directory: string) => boolean;
}

/**
 * Converts `file`.
 *
 * @throws ConfigError for keys, values or numbers that cannot be run, by name; DataError for a bad file of problems
 */
export async function convertTrl(file: TextFile, options: TrlOptions, places: TrlPlaces): Promise<TrlConversion> {
  const overrides = sortOverrides(options.overrides ?? []);
  const parsed = parseYaml(file.text, file.path);
  // What is no mapping is refused by readSettings.
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
    requireGrpo(applyOverrides(parsed, overrides.trl) as Record<string, unknown>, file.path);
  }
  const settings = readSettings(file.text, file.path, trlKeys(), overrides.trl);
  requireTraining(file);
  const reading = readingOf(settings, options.version);
  const draft = new TrlDraft(settings);

  const numbers = batchNumbers(settings, reading, options);
  const batch = batchIn(reading, numbers.batch);
  setBatch(draft, batch, numbers.batch, reading);
  setNames(draft, file.path, options, places);
  await setModel(draft, options, places);
  setAdapter(draft);
  draft.becomes("seed", "seed", settings.number("seed") ?? 42, { fallback: 42 });
  const dataIsGiven = options.data !== undefined;
  const place = await places.data(options.data ?? dataSetOf(settings).name, dataIsGiven);
  const { trainCount } = await setTask(draft, { place, dataIsGiven, prompt: options.prompt });
  setRewards(draft);
  setSampling(draft, reading);
  setLoss(draft, reading);
  setOptimizer(draft, numbers.launch.gradientClipping);
  const length = setLength(draft, batch, reading, trainCount);
  setSchedule(draft, length);
  setDistances(draft, length, batch);

  return {
    recipe: finished(draft, file.path, overrides.recipe),
    version: reading.version,
    versionBecause: reading.because,
    keys: draft.keyLines(),
    defaults: draft.defaultLines(),
    batch: batchReport(numbers, batch, reading, length),
    choices: draft.choices,
    missing: draft.missing,
    launcherKeys: numbers.launch.lines,
    outputDirectory: draft.paths().has("the run directory") ? settings.text("output_dir") : undefined,
  };
}

/** Overrides of TRL's keys, and those of the recipe's. Throws ConfigError for one that is neither. */
function sortOverrides(overrides: readonly string[]): { readonly trl: string[]; readonly recipe: string[] } {
  const sorted = { trl: [] as string[], recipe: [] as string[] };
  for (const override of overrides) {
    const key = override.slice(0, Math.max(0, override.indexOf("="))).trim();
    const first = key.split(".")[0]!;
    if (trlKeys().has(first)) sorted.trl.push(override);
    else if (Object.hasOwn(recipeSchema().shape, first)) sorted.recipe.push(override);
    else {
      const nearest = nearestName(first, [...trlKeys().keys(), ...Object.keys(recipeSchema().shape)]);
      const hint = nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
      throw new ConfigError(`--set ${override}: neither a key of TRL's nor of Aha's recipes.${hint}`);
    }
  }
  return sorted;
}

/** accelerate's file is not a training file, though the two lie side by side. */
function requireTraining({ text, path: source }: TextFile): void {
  const training = new Set(trainingEntries().map(([key]) => key));
  // As it stands: what --set adds makes no training file of it.
  const keys = Object.keys(parseYaml(text, source) as object);
  if (keys.some((key) => training.has(key) && !LAUNCHER_KEYS.has(key))) return;
  throw new ConfigError(
    keys.length === 0
      ? `${source} is empty; expected TRL's keys, such as max_steps: 450.`
      : `${source} has only keys of accelerate (${keys.slice(0, 3).join(", ")}, …): it says how to start processes, not ` +
          `what to train. Give the training file as --trl, and this one as --accelerate ${source}.`,
  );
}

/** `batchOf`, with a hint where only the other reading of the file works out. */
function batchIn({ batchCounts, version }: TrlReading, numbers: BatchNumbers): Batch {
  try {
    return batchOf(numbers, batchCounts);
  } catch (error) {
    const other = otherReading(numbers, batchCounts);
    if (!(error instanceof ConfigError) || other === null) throw error;
    throw new ConfigError(
      `${error.message} The file was read as one of TRL ${version}; with --trl-version ${other.version} it would be ` +
        `${other.promptsPerStep} prompts and ${other.completionsPerStep} completions per optimizer step.`,
    );
  }
}

interface NumbersOfBatch {
  readonly batch: BatchNumbers;
  readonly launch: Launch;
}

function batchNumbers(settings: TrlSettings, { defaults }: TrlReading, options: TrlOptions): NumbersOfBatch {
  const accumulation = settings.number("gradient_accumulation_steps") ?? defaults.gradient_accumulation_steps;
  const launch = launchOf(settings, { file: options.launcher, asked: options.numProcesses, accumulation });
  const perDevice =
    settings.number("per_device_train_batch_size") ??
    settings.number("per_gpu_train_batch_size") ??
    defaults.per_device_train_batch_size;
  return {
    launch,
    batch: {
      perDevice,
      numProcesses: launch.numProcesses,
      accumulation,
      groupSize: settings.number("num_generations") ?? 8,
      passes: settings.number("num_iterations") ?? 1,
      stepsPerGeneration: settings.number("steps_per_generation"),
      generationBatchSize: settings.number("generation_batch_size"),
    },
  };
}

function setBatch(draft: TrlDraft, batch: Batch, numbers: BatchNumbers, { defaults }: TrlReading): void {
  const { settings } = draft;
  const at = (key: string) => `stages.${STAGE}.${key}`;
  const prompts = batch.promptsPerIteration;
  const [old, young] = ["per_gpu_train_batch_size", "per_device_train_batch_size"] as const;
  const perDevice = settings.has(old) && !settings.has(young) ? old : young;
  draft.hasNoEffect(old, `${young} is its new name`);
  draft.becomes(perDevice, at("promptsPerIteration"), prompts, {
    fallback: defaults.per_device_train_batch_size,
    note: "see the batch",
  });
  const fallback = defaults.gradient_accumulation_steps;
  draft.becomes("gradient_accumulation_steps", at("promptsPerIteration"), prompts, { fallback, note: "see the batch" });
  if (settings.written.has("num_processes")) {
    draft.becomes("num_processes", at("promptsPerIteration"), prompts, { note: "see the batch" });
  }
  draft.hasNoEffect("deepspeed_config", "see its keys");
  draft.becomes("num_generations", at("groupSize"), numbers.groupSize, { fallback: 8 });
  draft.becomes("num_iterations", at("updatesPerIteration"), batch.updatesPerIteration, { fallback: 1 });
  const minibatches = batch.minibatchesPerIteration;
  const key = settings.has("generation_batch_size") ? "generation_batch_size" : "steps_per_generation";
  draft.becomes(key, at("minibatchesPerIteration"), minibatches, {
    fallback: numbers.accumulation,
    note: "optimizer steps of one generation batch",
  });
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

/** output_dir is where the run goes, unless the user says otherwise, or it is a place on somebody else's machine. */
function setOutput(draft: TrlDraft, { out }: TrlOptions, places: TrlPlaces): void {
  const directory = draft.settings.text("output_dir");
  if (directory === undefined) return;
  if (out !== undefined) draft.hasNoEffect("output_dir", `--out ${out} is given`);
  else if (places.output(directory)) draft.goesTo("output_dir", "the run directory", directory);
  else draft.hasNoEffect("output_dir", "the folder that it is in is not on this machine; the run goes to runs/");
}

async function setModel(draft: TrlDraft, options: TrlOptions, places: TrlPlaces): Promise<void> {
  const { settings } = draft;
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

/** The checked recipe, with the user's own overrides of it. */
function finished(draft: TrlDraft, path: string, overrides: readonly string[]): TrlRecipe {
  const owners = draft.paths();
  for (const override of overrides) {
    const key = override.slice(0, override.indexOf("=")).trim();
    const owner = owners.get(key);
    if (owner !== undefined) {
      throw new ConfigError(`--set ${override}: ${key} comes from the file's ${owner}; set that instead.`);
    }
    draft.choices.push({ what: "--set", chosen: override });
  }
  const recipe = checkRecipe(applyOverrides(draft.recipe(), overrides) as Record<string, unknown>, path);
  const { task } = recipe;
  if (task.name === "countdown") return { ...recipe, task: task as TrlRecipe["task"] };
  throw new ConfigError(`--set task.name=${task.name}: a TRL recipe is of the task countdown; write one of Aha's own.`);
}

function batchReport(numbers: NumbersOfBatch, batch: Batch, reading: TrlReading, length: StageLength): TrlBatch {
  return {
    ...batch,
    numbers: numbers.batch,
    numProcessesFrom: numbers.launch.from,
    batchCounts: reading.batchCounts,
    otherReading: otherReading(numbers.batch, reading.batchCounts),
    steps: length.steps,
    iterations: length.iterations,
  };
}

/** What the numbers come to in the reading that counts something else than `counts`. */
function otherReading(numbers: BatchNumbers, counts: TrlReading["batchCounts"]): TrlBatch["otherReading"] {
  const [version, others] =
    counts === "prompts" ? ([TRL_VERSIONS[1], "completions"] as const) : ([TRL_VERSIONS[0], "prompts"] as const);
  try {
    const { promptsPerStep, completionsPerStep } = batchOf(numbers, others);
    return { version, promptsPerStep, completionsPerStep };
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}
