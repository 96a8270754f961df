/**
 * `task.data` of a converted recipe: the data sets with their splits and shares, and what is held out. TRL trains on every
 * row of the training split unless the file says otherwise, and evaluates only if asked; Aha always evaluates, so it
 * holds out, in this order: what the file says (test_split_size, or the test split of an evaluation); the data set's own test
 * split; a few rows.
 */

import { splitOf } from "../../../data/dataset-folder.ts";
import { ConfigError } from "../../../errors.ts";
import type { TrlDraft } from "../conversion.ts";
import type { TrainCount } from "../length.ts";
import { DATA_KEYS, type NamedSet, type NamedSets } from "./named-sets.ts";
import { type AbsentData, countRows, type FoundSet, isHere, type Survey } from "./survey.ts";

/** Problems of an evaluation, and rows that are held out where the file says nothing: TRL itself makes none. */
const EVALUATION_PROBLEMS = 64;
/** The most of a small data set that goes to them. */
const MOST_HELD_OUT = 0.1;

/** TRL's default for dataset_test_split. */
const TEST_SPLIT = "test";

/** What there is to train on: how many rows, unless they are not here. */
export type DataExtent = { readonly trainCount: TrainCount };

/**
 * Sets `task.data` and `evaluation.problems`; `evaluates`: the file asks for evaluations.
 *
 * @throws ConfigError for a test split that there is not
 */
export async function setTaskData(
  draft: TrlDraft,
  survey: Survey | AbsentData,
  { evaluates }: { readonly evaluates: boolean },
): Promise<DataExtent> {
  if (!isHere(survey)) return setAbsent(draft, survey);
  setSources(draft, survey);
  const heldOut = await setHeldOut(draft, survey, evaluates);
  draft.put("evaluation.problems", Math.min(EVALUATION_PROBLEMS, heldOut.rows));
  sayOtherKeys(draft, survey.named, survey.isGiven ? "--data is given" : `${survey.named.key} names the data`);
  return { trainCount: survey.rowCount - (heldOut.ofTraining ? heldOut.rows : 0) };
}

/** Names on the Hub stand in the recipe as they are; the run needs them. */
function setAbsent(draft: TrlDraft, { named, absent }: AbsentData): DataExtent {
  const [first, ...more] = named.sets.map(({ name, config, split, share }) => ({ path: name, config, split, share }));
  putSources(draft, first!, more);
  draft.goesTo(named.key, "task.data.path", more.length === 0 ? first!.path : named.sets.map(({ name }) => name), {
    note: "not here, so its rows are not counted",
  });
  for (const { name, reason } of absent) {
    draft.missing.push(
      `The data set ${name} is not on this machine (${reason}); --data PATH takes another in its place.`,
    );
  }
  sayOtherKeys(draft, named, `of ${named.key}, which is not here`);
  return { trainCount: undefined };
}

function setSources(draft: TrlDraft, { named, sets, isGiven }: Survey): void {
  const sources = sets.map((found) => sourceOf(found, isGiven));
  const [first, ...more] = sources;
  putSources(draft, first!, more);
  const only = sets.length === 1 ? sets[0]! : undefined;
  if (only !== undefined && only.set.first !== undefined) {
    // The first rows as they stand, and not so many of all.
    draft.put("task.data.share", 1);
    draft.put("task.data.select", only.taken);
    draft.put("task.data.shuffle", false);
  }
  if (named.seed !== undefined) draft.put("task.data.seed", named.seed);
  const shownSources = sources.map((source, i) => inWords(source, sets[i]!));
  draft.goesTo(named.key, only === undefined ? "task.data" : "task.data.path", only?.path ?? shownSources, {
    note: isGiven ? "as --data says" : "",
  });
  const rows = sets.map(({ taken, rowCount, path }) => {
    const of = taken === rowCount ? `all ${rowCount}` : `${taken} of ${rowCount}`;
    return sets.length === 1 ? `${of} rows` : `${of} of ${path}`;
  });
  draft.choices.push({ what: "data", chosen: `${rows.join(", ")}, in a seeded random order` });
  if (only !== undefined && !isGiven) setParts(draft, only.set);
}

/** The lines of the keys that name a configuration and a split of the one data set. */
function setParts(draft: TrlDraft, { config, split }: NamedSet): void {
  for (const key of ["dataset_config", "dataset_configs"]) {
    if (draft.settings.has(key)) draft.goesTo(key, "task.data.config", config);
  }
  for (const key of ["dataset_splits", "dataset_train_split", "dataset_split"]) {
    if (draft.settings.has(key)) draft.goesTo(key, "task.data.split", split);
  }
}

interface Source {
  readonly path: string;
  readonly config: string | undefined;
  readonly split: string | undefined;
  readonly share: number;
}

/** As it stands in the recipe: what is the data set's own default is left out. */
function sourceOf({ path, set, share }: FoundSet, isGiven: boolean): Source {
  return { path, config: isGiven ? undefined : set.config, split: isGiven ? undefined : set.split, share };
}

function putSources(draft: TrlDraft, first: Source, more: readonly Source[]): void {
  const defined = (source: Source) =>
    Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined));
  for (const [key, value] of Object.entries(defined(first))) draft.put(`task.data.${key}`, value);
  if (more.length > 0) draft.put("task.data.more", more.map(defined));
}

function inWords({ path, config, split }: Source, { taken, rowCount }: FoundSet): string {
  const parts = [config, split, taken < rowCount ? `${taken} of ${rowCount} rows` : undefined].filter(Boolean);
  return parts.length === 0 ? path : `${path} (${parts.join(", ")})`;
}

interface HeldOut {
  readonly rows: number;
  /** Whether they are of the rows that would be trained on otherwise. */
  readonly ofTraining: boolean;
}

async function setHeldOut(draft: TrlDraft, survey: Survey, evaluates: boolean): Promise<HeldOut> {
  const { named, sets, rowCount, isGiven } = survey;
  const test = isGiven ? undefined : named.test;
  if (test !== undefined && "size" in test) {
    const rows = test.size < 1 ? Math.ceil(test.size * rowCount) : test.size;
    if (rows >= rowCount) {
      throw new ConfigError(
        `${test.key}: test_split_size is ${test.size}, and there are ${rowCount} rows: none would be left to train on.`,
      );
    }
    const share = test.size < 1 ? test.size : heldOutShare(rows, rowCount);
    draft.put("task.data.testShare", share);
    if (test.key === "test_split_size") draft.goesTo(test.key, "task.data.testShare", share, { note: `${rows} rows` });
    draft.choices.push({ what: "held out", chosen: `${rows} rows, as test_split_size says` });
    return { rows, ofTraining: true };
  }
  const { dataset, split } = sets[0]!;
  const name = test?.split ?? TEST_SPLIT;
  const isThere = dataset.splits.some((one) => one.name === name) && name !== split.name;
  if (isThere || (evaluates && test !== undefined)) {
    const rows = await countRows(splitOf(dataset, name));
    draft.put("task.data.testSplit", name);
    if (test !== undefined) draft.goesTo(test.key, "task.data.testSplit", name);
    const why = evaluates ? "" : ", though TRL would evaluate nothing by this file";
    draft.choices.push({ what: "held out", chosen: `the split ${name}, ${rows} rows${why}` });
    return { rows, ofTraining: false };
  }
  const rows = Math.min(EVALUATION_PROBLEMS, Math.max(1, Math.floor(MOST_HELD_OUT * rowCount)));
  draft.put("task.data.testShare", heldOutShare(rows, rowCount));
  const chosen = `${rows} of the ${rowCount} rows, for evaluations before and after, which TRL would train on too`;
  draft.choices.push({ what: "held out", chosen });
  return { rows, ofTraining: true };
}

/** A share of `of` rows of which ⌈share · of⌉ are `rows`: a short decimal where there is one. */
function heldOutShare(rows: number, of: number): number {
  for (let digits = 1; digits < 15; digits++) {
    const share = Number(((rows - 0.5) / of).toFixed(digits));
    if (share > 0 && share < 1 && Math.ceil(share * of) === rows) return share;
  }
  return rows / of;
}

/** Why the other keys about data have no effect. */
function sayOtherKeys(draft: TrlDraft, { key: named }: NamedSets, why: string): void {
  const said = new Set(draft.saidKeys());
  for (const key of DATA_KEYS) if (key !== named && !said.has(key)) draft.hasNoEffect(key, why);
}
