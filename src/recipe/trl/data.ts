/**
 * Which problems and prompt a TRL recipe stands for. The seeds' scripts hard-code most of it: rows of
 * Countdown-Tasks-3to4 with `nums` and `target`, a tenth held out, a prompt that ends inside <think>. So a file that names another data set is refused, unless the user gives a file of such rows.
 *
 * The scripts shuffle the rows, take 50,000 and hold out a tenth of those; so does the recipe, with Aha's own permutations
 * (`data/selection.ts`) and the shuffle's seed of Mini-R1's script, so that runs that differ in `seed` hold out the same.
 */

import { findDataset, splitOf, splitRows } from "../../data/dataset-folder.ts";
import { ConfigError, nearestName } from "../../errors.ts";
import { identifyRow } from "../../tasks/countdown/source.ts";
import type { TrlDraft } from "./conversion.ts";
import { shown, type TrlSettings } from "./settings.ts";

/** Names of `task.prompt`. */
export const TRL_PROMPTS = ["english", "chinese", "compact"] as const;

export type TrlPrompt = (typeof TRL_PROMPTS)[number];

/** The scripts' default for dataset_id_or_path. */
const DATA_SET = "Jiayi-Pan/Countdown-Tasks-3to4";
/** The scripts' `shuffle(seed=42).select(range(50_000))` and `train_test_split(test_size=0.1)`. */
const SHUFFLE_SEED = 42;
const SELECTED_ROWS = 50_000;
const HELD_OUT_SHARE = 0.1;
/** Problems of an evaluation: TRL's own makes none unless asked, so few. */
const EVALUATION_PROBLEMS = 64;

/** What the file says of its data. */
export interface TrlDataSet {
  readonly key: string;
  readonly name: string;
  /** undefined: the data set's own default. */
  readonly split: string | undefined;
  readonly config: string | undefined;
}

/** Where a data set is: how the recipe names it, and where on this disk its rows are; or why it is nowhere. */
export type TrlDataPlace = { readonly path: string; readonly directory: string } | { readonly absent: string };

/** The data set that the file names, in its several ways. Throws ConfigError where two of them differ. */
export function dataSetOf(settings: TrlSettings): TrlDataSet {
  const given = ["dataset_id_or_path", "dataset_name"].filter((key) => settings.has(key));
  const key = given[0] ?? "dataset_id_or_path";
  const name = settings.text(key) ?? DATA_SET;
  const other = given[1] === undefined ? name : settings.text(given[1]);
  if (other !== name) throw new ConfigError(`${given[0]} is ${shown(name)}, ${given[1]} ${shown(other)}; give one.`);
  const split = settings.text("dataset_splits") ?? settings.text("dataset_train_split");
  if (split !== undefined && /[[\]+]/.test(split)) {
    throw new ConfigError(
      `A split such as ${shown(split)} cannot be taken apart here; make a file of it and give --data.`,
    );
  }
  return { key, name, split, config: settings.text("dataset_config") };
}

/** How much there is to train on and to hold out. */
export interface TaskExtent {
  readonly trainCount: number;
  readonly evaluationProblems: number;
}

/**
 * Sets the task: problems of the data set at `place`, or where it is absent of Aha's generator, which draws from the same
 * ranges.
 *
 * @throws ConfigError for a data set that is not Countdown; DataError for a bad file
 */
export async function setTask(
  draft: TrlDraft,
  options: {
    readonly place: TrlDataPlace;
    readonly dataIsGiven: boolean;
    readonly prompt: string | undefined;
  },
): Promise<TaskExtent> {
  const { settings } = draft;
  draft.put("task.name", "countdown");
  const prompt = promptOf(settings, options.prompt);
  draft.put("task.prompt", prompt.name);
  draft.choices.push({ what: "prompt", chosen: `${prompt.name}: ${prompt.because}` });
  const { place, dataIsGiven } = options;
  const extent = "absent" in place ? setGenerator(draft, place.absent) : await setData(draft, place, dataIsGiven);
  draft.put("evaluation.problems", extent.evaluationProblems);
  return extent;
}

function setGenerator(draft: TrlDraft, absent: string): TaskExtent {
  const { key, name } = dataSetOf(draft.settings);
  if (!/countdown/i.test(name)) {
    throw new ConfigError(
      `${key}: ${shown(name)} is not here, and is no Countdown data set whose like Aha could generate (${absent}). Give ` +
        'a file of problems, {"nums": [6, 3, 3], "target": 54} a line, with --data FILE.',
    );
  }
  draft.put("task.heldOutShare", HELD_OUT_SHARE);
  draft.becomes(key, "task.name", "countdown", { fallback: DATA_SET, note: "generated problems stand in for it" });
  for (const other of ["dataset_splits", "dataset_train_split", "dataset_config"])
    draft.hasNoEffect(other, "generated problems have neither splits nor configurations");
  draft.choices.push({
    what: "data",
    chosen:
      `${name} is not on this machine (${absent}): problems are generated in its form (3 or 4 numbers from 1 to 99, ` +
      "targets from 10 to 99). --data FILE takes rows instead",
  });
  draft.choices.push({
    what: "held out",
    chosen: "a tenth of all problems, as the scripts do (test_size=0.1), by a hash of the problem",
  });
  return { trainCount: Number.POSITIVE_INFINITY, evaluationProblems: EVALUATION_PROBLEMS };
}

async function setData(
  draft: TrlDraft,
  { path, directory }: Exclude<TrlDataPlace, { absent: string }>,
  dataIsGiven: boolean,
): Promise<TaskExtent> {
  const { settings } = draft;
  const { key, split, config } = dataSetOf(settings);
  draft.becomes(key, "task.data.path", path, { fallback: DATA_SET, note: dataIsGiven ? "as --data says" : "" });
  const parts = dataIsGiven ? {} : { split, config };
  for (const splitKey of ["dataset_splits", "dataset_train_split"]) {
    if (parts.split === undefined) draft.hasNoEffect(splitKey, "--data is given");
    else if (settings.has(splitKey)) draft.becomes(splitKey, "task.data.split", parts.split);
  }
  if (parts.config === undefined) draft.hasNoEffect("dataset_config", "--data is given");
  else draft.becomes("dataset_config", "task.data.config", parts.config);
  const available = await countProblems(directory, parts);
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

/** How many rows there are, each a Countdown problem. Throws DataError for one that is not. */
async function countProblems(
  directory: string,
  { split, config }: { readonly split?: string | undefined; readonly config?: string | undefined },
): Promise<number> {
  let count = 0;
  for await (const row of splitRows(splitOf(await findDataset(directory, config), split))) {
    identifyRow(row);
    count++;
  }
  return count;
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
