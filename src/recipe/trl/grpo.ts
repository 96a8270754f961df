/** A recipe of GRPO or RLOO: groups of completions, rewards, and what is learned from them. */

import { ConfigError } from "../../errors.ts";
import { type Batch, type BatchNumbers, batchOf } from "./batch.ts";
import { type GroupBatch, otherReading } from "./batch-report.ts";
import type { TrlDraft } from "./conversion.ts";
import { isCountdown, setCountdown } from "./data/countdown.ts";
import type { NamedSets } from "./data/named-sets.ts";
import { setQuestions } from "./data/questions.ts";
import type { AbsentData, Survey } from "./data/survey.ts";
import { evaluates, setDistances } from "./distances.ts";
import { UNSAID_PROCESSES } from "./launcher.ts";
import { setIterations, setSchedule, type TrainCount } from "./length.ts";
import { setLoss, setRlooLoss, setSampling } from "./objective.ts";
import { COUNTDOWN_REWARDS, judgesAnswers, setRewards } from "./rewards.ts";
import type { TrlSettings } from "./settings.ts";
import type { TrlReading } from "./version.ts";

/** What the conversion knows before the trainer's own part. */
export interface ProgramParts {
  readonly reading: TrlReading;
  readonly numProcesses: number;
  /** Where that is from: a phrase for people. */
  readonly numProcessesFrom: string;
  /** The data that the file, or the user beside it, names; undefined: the file names none. */
  readonly named: NamedSets | undefined;
  readonly survey: Survey | AbsentData;
  readonly askedPrompt: string | undefined;
  /** Finds a model that has to be on this disk (a reward model, a teacher); undefined where it is not. */
  readonly modelDirectory: (name: string) => Promise<string | undefined>;
}

/** TRL's default for num_generations. */
const GROUP_SIZE = { grpo: 8, rloo: 2 } as const;

/** The batch's numbers in a reading. */
export function batchNumbers(
  settings: TrlSettings,
  trainer: "grpo" | "rloo",
  { defaults }: TrlReading,
  numProcesses: number,
): BatchNumbers {
  return {
    perDevice:
      settings.number("per_device_train_batch_size") ??
      settings.number("per_gpu_train_batch_size") ??
      defaults.per_device_train_batch_size,
    numProcesses,
    accumulation: settings.number("gradient_accumulation_steps") ?? defaults.gradient_accumulation_steps,
    groupSize: settings.number("num_generations") ?? GROUP_SIZE[trainer],
    passes: settings.number("num_iterations") ?? 1,
    stepsPerGeneration: settings.number("steps_per_generation"),
    generationBatchSize: settings.number("generation_batch_size"),
  };
}

/**
 * Sets task, rewards, batch, length and loss.
 *
 * @throws ConfigError for what cannot be run, by name; DataError for bad data
 */
export async function setGroups(draft: TrlDraft, trainer: "grpo" | "rloo", parts: ProgramParts): Promise<GroupBatch> {
  const { settings } = draft;
  const { reading } = parts;
  const numbers = batchNumbers(settings, trainer, reading, parts.numProcesses);
  const batch = batchIn(reading, numbers, parts.numProcessesFrom);
  setBatch(draft, batch, numbers, reading, GROUP_SIZE[trainer]);
  const trainCount = await setTask(draft, parts);
  setSampling(draft, reading);
  if (trainer === "rloo") setRlooLoss(draft, reading);
  else setLoss(draft, reading);
  const length = setIterations(draft, batch, reading, trainCount);
  setSchedule(draft, length, reading);
  setDistances(draft, length);
  return {
    kind: "groups",
    ...batch,
    numbers,
    numProcessesFrom: parts.numProcessesFrom,
    batchCounts: reading.batchCounts,
    otherReading: trainer === "rloo" ? null : otherReading(numbers, reading.batchCounts),
    steps: length.steps ?? null,
    iterations: length.units ?? null,
  };
}

/** The problems, and the rewards that judge their answers. */
async function setTask(draft: TrlDraft, parts: ProgramParts): Promise<TrainCount> {
  const { settings } = draft;
  const { named, survey, askedPrompt } = parts;
  const modelPath = await rewardModel(draft, parts);
  if (isCountdown(settings, named, survey)) {
    for (const key of ["dataset_prompt_column", "system_prompt", "chat_template_kwargs"]) {
      draft.hasNoEffect(key, "the prompts are those of the Countdown scripts (--prompt)");
    }
    const { trainCount } = await setCountdown(draft, survey, askedPrompt);
    setRewards(draft, COUNTDOWN_REWARDS, modelPath);
    return trainCount;
  }
  if (named === undefined && !survey.isGiven) {
    throw new ConfigError(
      `${settings.source} names no data (dataset_name, dataset_mixture); give some with --data PATH.`,
    );
  }
  const { trainCount, gold, isOfOpenR1 } = await setQuestions(draft, survey, {
    askedPrompt,
    evaluates: evaluates(draft),
  });
  const byDefault = isOfOpenR1 ? ["accuracy", "format", "tag_count"] : [];
  const asked = settings.texts("reward_funcs") ?? byDefault;
  const judged = asked.some(judgesAnswers);
  if (gold !== undefined && judged) draft.put("task.answer", gold);
  setRewards(
    draft,
    {
      ...{ byDefault, whose: "those of open-r1's script", tagsOnLines: true, hasAnswers: true, samples: false },
      gold: judged ? gold : undefined,
    },
    modelPath,
  );
  return trainCount;
}

async function rewardModel(draft: TrlDraft, { modelDirectory }: ProgramParts): Promise<string | undefined> {
  const name = draft.settings.text("reward_model_name_or_path");
  if (name === undefined) return undefined;
  const directory = await modelDirectory(name);
  if (directory === undefined) {
    draft.missing.push(
      `The reward model ${name} is not on this machine; --set reward_model_name_or_path=DIR names one.`,
    );
  }
  return directory ?? name;
}

/** `batchOf`, with a hint where only the other reading of the file works out, or more processes may be meant. */
function batchIn({ version, batchCounts }: TrlReading, numbers: BatchNumbers, numProcessesFrom: string): Batch {
  try {
    return batchOf(numbers, batchCounts);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const other = otherReading(numbers, batchCounts);
    const processes =
      numProcessesFrom === UNSAID_PROCESSES
        ? " If it was written for more than one process, say --num-processes N."
        : "";
    if (other === null) throw new ConfigError(`${error.message}${processes}`);
    throw new ConfigError(
      `${error.message}${processes} The file was read as one of TRL ${version}; with --trl-version ${other.version} it would be ` +
        `${other.promptsPerStep} prompts and ${other.completionsPerStep} completions per optimizer step.`,
    );
  }
}

function setBatch(
  draft: TrlDraft,
  batch: Batch,
  numbers: BatchNumbers,
  { defaults }: TrlReading,
  groupSize: number,
): void {
  const { settings } = draft;
  const prompts = batch.promptsPerIteration;
  const path = draft.at("promptsPerIteration");
  setPerStep(draft, path, prompts, defaults);
  draft.becomes("num_generations", draft.at("groupSize"), numbers.groupSize, { fallback: groupSize });
  draft.becomes("num_iterations", draft.at("updatesPerIteration"), batch.updatesPerIteration, { fallback: 1 });
  const key = settings.has("generation_batch_size") ? "generation_batch_size" : "steps_per_generation";
  draft.becomes(key, draft.at("minibatchesPerIteration"), batch.minibatchesPerIteration, {
    fallback: numbers.accumulation,
    note: "optimizer steps of one generation batch",
  });
}

/** The lines of the numbers that make an optimizer step, which stands at `path`. */
export function setPerStep(
  draft: TrlDraft,
  path: string,
  value: number,
  defaults: Pick<TrlReading["defaults"], "per_device_train_batch_size" | "gradient_accumulation_steps">,
): void {
  const { settings } = draft;
  const [old, young] = ["per_gpu_train_batch_size", "per_device_train_batch_size"] as const;
  const perDevice = settings.has(old) && !settings.has(young) ? old : young;
  draft.hasNoEffect(old, `${young} is its new name`);
  draft.becomes(perDevice, path, value, { fallback: defaults.per_device_train_batch_size, note: "see the batch" });
  draft.becomes("gradient_accumulation_steps", path, value, {
    fallback: defaults.gradient_accumulation_steps,
    note: "see the batch",
  });
  if (settings.written.has("num_processes")) draft.becomes("num_processes", path, value, { note: "see the batch" });
  draft.hasNoEffect("deepspeed_config", "see its keys");
}
