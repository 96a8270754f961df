/**
 * The Countdown recipes, Mini-R1's and unlock-deepseek's. Their scripts hard-code most of the task: rows of
 * Countdown-Tasks-3to4 with `nums` and `target`, a tenth held out, a prompt that ends inside <think>.
 *
 * The scripts shuffle the rows, take 50,000 and hold out a tenth of those; so does the recipe, with Aha's own permutations
 * (`data/selection.ts`) and the shuffle's seed of Mini-R1's script, so that runs that differ in `seed` hold out the same.
 */

import { splitRows } from "../../../data/dataset-folder.ts";
import { ConfigError, nearestName } from "../../../errors.ts";
import { identifyRow } from "../../../tasks/countdown/source.ts";
import type { TrlDraft } from "../conversion.ts";
import type { TrlSettings } from "../settings.ts";
import { DATA_KEYS, type NamedSets } from "./named-sets.ts";
import { type AbsentData, isHere, type Survey, surveyedColumns } from "./survey.ts";
import type { DataExtent } from "./task-data.ts";

/** Names of `task.prompt`. */
const TRL_PROMPTS = ["english", "chinese", "compact"] as const;

export type TrlPrompt = (typeof TRL_PROMPTS)[number];

/** The scripts' default for dataset_id_or_path. */
const DATA_SET = "Jiayi-Pan/Countdown-Tasks-3to4";
/** The scripts' `shuffle(seed=42).select(range(50_000))` and `train_test_split(test_size=0.1)`. */
const SHUFFLE_SEED = 42;
const SELECTED_ROWS = 50_000;
const HELD_OUT_SHARE = 0.1;
/** Problems of an evaluation: TRL's own makes none unless asked, so few. */
const EVALUATION_PROBLEMS = 64;

/** The scripts' own data set, for a file that names none. */
export const COUNTDOWN_SET: NamedSets = {
  key: "dataset_id_or_path",
  sets: [{ name: DATA_SET, config: undefined, split: undefined, share: 1, first: undefined }],
  test: undefined,
  seed: undefined,
  sharesOfMixture: false,
};

/** Keys of scripts that ask other questions. */
const OTHER_PROMPTS = ["dataset_prompt_column", "system_prompt", "chat_template"];

/** Whether a file's problems are Countdown's: by the name of its data, by none at all, or by the rows. */
export function isCountdown(settings: TrlSettings, named: NamedSets | undefined, survey: Survey | AbsentData): boolean {
  const columns = surveyedColumns(survey);
  if (columns?.includes("nums") && columns.includes("target")) return true;
  if (named === undefined) return columns === undefined && !OTHER_PROMPTS.some((key) => settings.has(key));
  return named.sets.length === 1 && /countdown/i.test(named.sets[0]!.name);
}

/**
 * Sets the task: problems of the data set, or where it is absent of Aha's generator, which draws from the same ranges.
 *
 * @throws ConfigError for an unknown prompt; DataError for a row that is no Countdown problem
 */
export async function setCountdown(
  draft: TrlDraft,
  survey: Survey | AbsentData,
  askedPrompt: string | undefined,
): Promise<DataExtent> {
  draft.put("task.name", "countdown");
  const prompt = promptOf(draft.settings, askedPrompt);
  draft.put("task.prompt", prompt.name);
  draft.choices.push({ what: "prompt", chosen: `${prompt.name}: ${prompt.because}` });
  const extent = isHere(survey) ? await setRows(draft, survey) : setGenerator(draft, survey);
  draft.put("evaluation.problems", extent.evaluationProblems);
  return extent;
}

interface Extent extends DataExtent {
  readonly evaluationProblems: number;
}

function setGenerator(draft: TrlDraft, { named, absent }: AbsentData): Extent {
  const { name, reason } = absent[0]!;
  draft.put("task.heldOutShare", HELD_OUT_SHARE);
  draft.becomes(named.key, "task.name", "countdown", {
    fallback: DATA_SET,
    note: "generated problems stand in for it",
  });
  for (const key of DATA_KEYS) {
    if (key !== named.key) draft.hasNoEffect(key, "generated problems have neither splits nor configurations");
  }
  draft.choices.push({
    what: "data",
    chosen:
      `${name} is not on this machine (${reason}): problems are generated in its form (3 or 4 numbers from 1 to 99, ` +
      "targets from 10 to 99). --data FILE takes rows instead",
  });
  draft.choices.push({
    what: "held out",
    chosen: "a tenth of all problems, as the scripts do (test_size=0.1), by a hash of the problem",
  });
  return { trainCount: Number.POSITIVE_INFINITY, evaluationProblems: EVALUATION_PROBLEMS };
}

async function setRows(draft: TrlDraft, survey: Survey): Promise<Extent> {
  const { settings } = draft;
  const { named, sets, isGiven } = survey;
  const { path, set, split } = sets[0]!;
  draft.becomes(named.key, "task.data.path", path, { fallback: DATA_SET, note: isGiven ? "as --data says" : "" });
  if (!isGiven && set.split !== undefined) {
    draft.put("task.data.split", set.split);
    for (const key of ["dataset_splits", "dataset_train_split", "dataset_split"])
      if (settings.has(key)) draft.goesTo(key, "task.data.split", set.split);
  }
  if (!isGiven && set.config !== undefined) {
    draft.put("task.data.config", set.config);
    for (const key of ["dataset_config", "dataset_configs"])
      if (settings.has(key)) draft.goesTo(key, "task.data.config", set.config);
  }
  draft.hasNoEffect("dataset_test_split", "the scripts hold out a tenth of the rows that they train on");
  for (const key of isGiven ? DATA_KEYS : []) if (key !== named.key) draft.hasNoEffect(key, "--data is given");
  let available = 0;
  for await (const row of splitRows(split)) {
    identifyRow(row);
    available++;
  }
  const count = Math.min(SELECTED_ROWS, available);
  if (available > count) draft.put("task.data.select", count);
  draft.put("task.data.seed", SHUFFLE_SEED);
  draft.put("task.data.testShare", HELD_OUT_SHARE);
  const taken = available > count ? `${count} of ${available} rows` : `all ${available} rows`;
  draft.choices.push({
    what: "data",
    chosen:
      `${taken}, shuffled, a tenth of them held out, as the scripts do (shuffle(seed=42).select(range(50_000)), ` +
      "test_size=0.1)",
  });
  // The same rounding as the split's. A small file holds out few; a run needs one.
  const heldOut = Math.ceil(HELD_OUT_SHARE * count);
  return { trainCount: count - heldOut, evaluationProblems: Math.max(1, Math.min(EVALUATION_PROBLEMS, heldOut)) };
}

/** unlock-deepseek's script has arguments for SwanLab, and asks in Chinese; Mini-R1's asks in English. */
function promptOf(
  settings: TrlSettings,
  asked: string | undefined,
): { readonly name: TrlPrompt; readonly because: string } {
  if (asked !== undefined) {
    const name = TRL_PROMPTS.find((prompt) => prompt === asked);
    if (name !== undefined) return { name, because: "as --prompt says" };
    const nearest = nearestName(asked, TRL_PROMPTS);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw new ConfigError(`--prompt ${asked}: there are ${TRL_PROMPTS.join(", ")}.${hint}`);
  }
  const mark = ["swanlab", "experiment_name", "workspace"].find((key) => settings.written.has(key));
  if (mark === undefined) return { name: "english", because: "that of Mini-R1's script (--prompt chooses another)" };
  const because = `that of unlock-deepseek's script, whose key ${mark} the file has (--prompt chooses another)`;
  return { name: "chinese", because };
}
