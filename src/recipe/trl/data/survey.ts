/** What there is of the data sets that a file names: where they are, how many rows, with which columns. */

import { type Dataset, type DatasetSplit, findDataset, splitOf, splitRows } from "../../../data/dataset-folder.ts";
import { formatOf } from "../../../data/formats.ts";
import { parquetRowCount } from "../../../data/parquet.ts";
import type { DataRow } from "../../../data/row.ts";
import { ConfigError, DataError } from "../../../errors.ts";
import type { NamedSet, NamedSets } from "./named-sets.ts";

/** Where a data set is: how the recipe names it, and where on this disk its rows are; or why it is nowhere. */
export type TrlDataPlace = { readonly path: string; readonly directory: string } | { readonly absent: string };

/** Finds data sets. `required`: the user has named it beside the file, so that nothing may stand in for it. */
export type FindData = (name: string, required: boolean) => Promise<TrlDataPlace>;

/** A data set that is here. */
export interface FoundSet {
  readonly set: NamedSet;
  /** As the recipe names it. */
  readonly path: string;
  readonly dataset: Dataset;
  readonly split: DatasetSplit;
  /** Rows of the split. */
  readonly rowCount: number;
  /** Share of them that is taken. */
  readonly share: number;
  /** How many that is. */
  readonly taken: number;
}

export interface Survey {
  readonly named: NamedSets;
  /** The user has named the data beside the file: its splits and configurations do not count. */
  readonly isGiven: boolean;
  readonly sets: readonly FoundSet[];
  /** Rows that are taken of all sets. */
  readonly rowCount: number;
  /** The first row; its columns are those of all. */
  readonly first: DataRow;
}

/** Data sets of which one at least is not here. */
export interface AbsentData {
  readonly named: NamedSets;
  readonly isGiven: false;
  readonly absent: readonly { readonly name: string; readonly reason: string }[];
}

/**
 * Looks at the data sets.
 *
 * @throws ConfigError for a configuration or split that there is not; DataError for a damaged or empty one
 */
export async function surveyData(named: NamedSets, isGiven: boolean, find: FindData): Promise<Survey | AbsentData> {
  const places = [];
  for (const set of named.sets) places.push({ set, place: await find(set.name, isGiven) });
  const absent = places.flatMap(({ set, place }) =>
    "absent" in place ? [{ name: set.name, reason: place.absent }] : [],
  );
  if (absent.length > 0) return { named, isGiven: false, absent };
  const found: Omit<FoundSet, "share" | "taken">[] = [];
  for (const { set, place } of places) {
    if ("absent" in place) continue;
    const dataset = await findDataset(place.directory, isGiven ? undefined : set.config);
    const split = splitOf(dataset, isGiven ? undefined : set.split);
    found.push({ set, path: place.path, dataset, split, rowCount: await countRows(split) });
  }
  const empty = found.find(({ rowCount }) => rowCount === 0);
  if (empty) throw new DataError(`${empty.path} has no rows in the split ${empty.split.name}.`);
  const shares = named.sharesOfMixture ? sharesOfMixture(found) : found.map(({ set }) => set.share);
  const sets = found.map((one, i) => ({ ...one, ...takenOf(one.rowCount, one.set, shares[i]!) }));
  const rowCount = sets.reduce((sum, { taken }) => sum + taken, 0);
  return { named, isGiven, sets, rowCount, first: await firstRow(sets[0]!.split) };
}

/** Whether a survey found everything. */
export function isHere(survey: Survey | AbsentData): survey is Survey {
  return !("absent" in survey);
}

/** Columns of the rows; undefined where they are not here. */
export function surveyedColumns(survey: Survey | AbsentData): readonly string[] | undefined {
  return isHere(survey) ? Object.keys(survey.first.fields) : undefined;
}

function takenOf(rowCount: number, { first }: NamedSet, share: number): Pick<FoundSet, "share" | "taken"> {
  if (first === undefined) return { share, taken: Math.max(1, Math.floor(share * rowCount + 1e-9)) };
  const taken = "rows" in first ? first.rows : Math.floor((first.percent / 100) * rowCount);
  if (taken > rowCount) throw new ConfigError(`A split has ${rowCount} rows, fewer than the first ${taken} of it.`);
  return { share: shareFor(Math.max(1, taken), rowCount), taken: Math.max(1, taken) };
}

/**
 * TRL's fractions: a mixture of which fraction/Σ fractions are of each set, as large as the scarcest allows
 * (`trl.get_dataset`).
 */
function sharesOfMixture(found: readonly Pick<FoundSet, "set" | "rowCount">[]): number[] {
  const sum = found.reduce((total, { set }) => total + set.share, 0);
  const total = Math.min(...found.map(({ set, rowCount }) => rowCount / (set.share / sum)));
  return found.map(({ set, rowCount }) => shareFor(Math.round((set.share / sum) * total), rowCount));
}

/** A share of `of` rows of which ⌊share · of⌋ are `rows`: a short decimal where there is one. */
function shareFor(rows: number, of: number): number {
  if (rows >= of) return 1;
  for (let digits = 1; digits < 15; digits++) {
    const share = Number(((rows + 0.5) / of).toFixed(digits));
    if (share > 0 && Math.floor(share * of + 1e-9) === rows) return share;
  }
  return rows / of;
}

/** Rows of a split, told by Parquet's footers where there are some. */
export async function countRows({ files }: DatasetSplit): Promise<number> {
  let count = 0;
  for (const file of files) {
    if (formatOf(file) === "parquet") count += await parquetRowCount(file);
    else for await (const _ of splitRows({ name: "", files: [file] })) count++;
  }
  return count;
}

async function firstRow(split: DatasetSplit): Promise<DataRow> {
  for await (const row of splitRows(split)) return row;
  throw new DataError(`${split.files.join(", ")} has no rows.`);
}
