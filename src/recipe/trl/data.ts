/**
 * Which problems, prompt and rewards a TRL recipe stands for. The seeds' scripts hard-code most of it: rows of
 * Countdown-Tasks-3to4 with `nums` and `target`, a tenth held out, a prompt that ends inside <think>, and the rewards
 * format and equation. So a file that names another data set is refused, unless the user gives a file of such rows.
 *
 * The scripts take 50,000 of the rows and split them at random; here all rows are there, and the split is a hash of the
 * problem, so that no problem is on both sides.
 */

import { readAllRows } from "../../data/formats.ts";
import { ConfigError, nearestName } from "../../errors.ts";
import { rewardNames } from "../../rewards/registry.ts";
import { createTask } from "../../tasks/registry.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import { shown, type TrlSettings } from "./settings.ts";

/** Names of `task.prompt`. */
export const TRL_PROMPTS = ["english", "chinese", "compact"] as const;

export type TrlPrompt = (typeof TRL_PROMPTS)[number];

/** The scripts' default for dataset_id_or_path. */
const DATA_SET = "Jiayi-Pan/Countdown-Tasks-3to4";
/** The scripts' `test_size`. */
const HELD_OUT_SHARE = 0.1;
/** Problems of an evaluation: TRL's own makes none unless asked, so few. */
const EVALUATION_PROBLEMS = 64;

/** The data set that the file names, in its several ways. Throws ConfigError where two of them differ. */
export function dataSetOf(settings: TrlSettings): {
  readonly key: string;
  readonly name: string;
  readonly split: string;
} {
  const given = ["dataset_id_or_path", "dataset_name"].filter((key) => settings.has(key));
  const key = given[0] ?? "dataset_id_or_path";
  const name = settings.text(key) ?? DATA_SET;
  const other = given[1] === undefined ? name : settings.text(given[1]);
  if (other !== name) throw new ConfigError(`${given[0]} is ${shown(name)}, ${given[1]} ${shown(other)}; give one.`);
  return { key, name, split: settings.text("dataset_splits") ?? settings.text("dataset_train_split") ?? "train" };
}

/** How much there is to train on and to hold out. */
export interface TaskExtent {
  readonly trainCount: number;
  readonly evaluationProblems: number;
}

/**
 * Sets the task: problems of `file`, or where that is undefined of Aha's generator, which draws from the same ranges.
 *
 * @throws ConfigError for a data set that is not Countdown; DataError for a bad file
 */
export async function setTask(
  draft: TrlDraft,
  options: {
    readonly file: string | undefined;
    readonly dataIsGiven: boolean;
    readonly prompt: string | undefined;
    readonly seed: number;
  },
): Promise<TaskExtent> {
  const { settings } = draft;
  const { key, name, split } = dataSetOf(settings);
  const { file } = options;
  if (/[[\]+]/.test(split)) {
    throw new ConfigError(
      `A split such as ${shown(split)} cannot be taken apart here; make a file of it and give --data.`,
    );
  }
  if (file === undefined && !/countdown/i.test(name)) {
    throw new ConfigError(
      `${key}: ${shown(name)} is not here, and is no Countdown data set whose like Aha could generate. Give a file of ` +
        'problems, {"nums": [6, 3, 3], "target": 54} a line, with --data FILE.',
    );
  }
  draft.put("task.name", "countdown");
  draft.put("task.heldOutShare", HELD_OUT_SHARE);
  if (file === undefined) {
    draft.becomes(key, "task.name", "countdown", { fallback: DATA_SET, note: "generated problems stand in for it" });
    draft.choices.push({
      what: "data",
      chosen:
        `${name} is not on this machine: problems are generated in its form (3 or 4 numbers from 1 to 99, targets from ` +
        "10 to 99). --data FILE takes rows instead",
    });
  } else {
    const note = options.dataIsGiven ? "as --data says" : "";
    draft.becomes(key, "task.file", file, { fallback: DATA_SET, note });
  }
  for (const splitKey of ["dataset_splits", "dataset_train_split"])
    draft.hasNoEffect(splitKey, "the file is the split");
  const prompt = promptOf(settings, options.prompt);
  draft.put("task.prompt", prompt.name);
  draft.choices.push({ what: "prompt", chosen: `${prompt.name}: ${prompt.because}` });
  draft.choices.push({
    what: "held out",
    chosen: `a tenth of all problems, as the scripts do (test_size=0.1), by a hash of the problem`,
  });
  const extent = await extentOf(file, options.seed);
  draft.put("evaluation.problems", extent.evaluationProblems);
  return extent;
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

async function extentOf(file: string | undefined, seed: number): Promise<TaskExtent> {
  if (file === undefined) return { trainCount: Number.POSITIVE_INFINITY, evaluationProblems: EVALUATION_PROBLEMS };
  const spec = { name: "countdown", prompt: "compact", heldOutShare: HELD_OUT_SHARE, file };
  const rows = await readAllRows(file);
  const { trainCount } = await createTask(spec, { seed });
  // A small file holds out few; a run needs one.
  const heldOut = rows.length - trainCount;
  return { trainCount, evaluationProblems: Math.max(1, Math.min(EVALUATION_PROBLEMS, heldOut)) };
}

/** How many completions the scripts' reward functions write to files on the way. */
const SAMPLED_SHARE = 0.1;

/** What scripts call the rewards that Aha has. */
const REWARD_ALIASES: ReadonlyMap<string, string> = new Map(
  ["format", "equation"].flatMap((name) =>
    [name, `${name}_reward`, `${name}_reward_func`].map((alias) => [alias, name]),
  ),
);

/** The rewards that the file names, or those of the scripts. Throws ConfigError for one that there is not. */
export function setRewards(draft: TrlDraft): void {
  const { settings } = draft;
  const path = `stages.${STAGE}.rewards`;
  const fallback = ["format", "equation"];
  const asked = settings.texts("reward_funcs") ?? fallback;
  const names = asked.map((name) => {
    const known = REWARD_ALIASES.get(name);
    if (known !== undefined) return known;
    throw new ConfigError(
      `reward_funcs: there is no reward ${shown(name)} for a TRL recipe; there are ${rewardNames.join(", ")}.`,
    );
  });
  const weights = settings.numbers("reward_weights") ?? names.map(() => 1);
  if (weights.length !== names.length) {
    throw new ConfigError(
      `reward_weights has ${weights.length} numbers for ${names.length} rewards (${names.join(", ")}); give one each.`,
    );
  }
  const rewards = names.map((name, i) => ({ name, weight: weights[i] }));
  const note = settings.has("reward_funcs") ? "" : "those of the seeds' scripts";
  draft.becomes("reward_weights", path, rewards, { fallback: weights });
  draft.becomes("reward_funcs", path, rewards, { fallback, note });
  if (settings.has("reward_funcs")) return;
  draft.put("completionSamples.share", SAMPLED_SHARE);
  draft.choices.push({
    what: "completion samples",
    chosen: "a tenth of the completions in completion_samples/ of the run, as the scripts' reward functions write them",
  });
}
