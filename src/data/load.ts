/**
 * The data of a recipe: from `data:` to rows for training and rows held out. Several data sets (`data.more`) are one whose
 * rows are numbered through.
 *
 * Every row that is read is checked at once, so a column that is missing in row 400,000 stops a run before it begins.
 * Reading stops early where it can: the first n rows, unshuffled, are all that is read then.
 *
 * A row that is held out is never trained on: where the same problem stands in several rows (by the task's own notion of
 * the same), its rows on the training side are left out. The seeds' `train_test_split` does not do that.
 */

import { DataError, nearestName } from "../errors.ts";
import { hashString, philox } from "../random.ts";
import { type Dataset, type DatasetSplit, findDataset, splitOf, splitRows } from "./dataset-folder.ts";
import type { LoadedData } from "./loaded-data.ts";
import { type DataOptions, type DataSource, type ResolveDataset, sourcesOf } from "./options.ts";
import { fetchDataset } from "./reference.ts";
import { columnsText, type DataRow, placeOf } from "./row.ts";
import { RowStore } from "./row-store.ts";
import { drawShare, Rounds, selectRows } from "./selection.ts";

/** What loading needs besides the options. */
export interface LoadDeps {
  /** Root of the order in which training goes through its rows. */
  readonly seed: number;
  /**
   * Checks a row, columns mapped, and returns a text that two rows share exactly if they are the same problem. Throws
   * DataError for a row that the task cannot use.
   */
  readonly identify: (row: DataRow) => string;
  /** `fetchDataset` where there is none. */
  readonly resolveDataset?: ResolveDataset;
}

/** Ids in a split of its own begin here, beyond every row number. */
const FIRST_HELD_OUT_ID = 2 ** 31;

/**
 * Reads, checks and splits the data.
 *
 * @throws ConfigError for options that the data cannot meet; DataError for a bad file or row, naming it.
 */
export async function loadData(options: DataOptions, deps: LoadDeps): Promise<LoadedData> {
  const { path, more = [] } = options;
  const sources = await Promise.all(sourcesOf(options).map((source) => find(source, deps)));
  const testing = options.testSplit === undefined ? undefined : splitOf(sources[0]!.dataset, options.testSplit);

  const { rows, taken } = await readSources(sources, options, deps);
  const selected = selectRows(taken.length, options);
  const train = selected.train.map((place) => taken[place]!);
  const heldOut = selected.heldOut.map((place) => taken[place]!);
  const used = new Set([...train, ...heldOut]);
  rows.store.forget((index) => used.has(index));
  const test = testing === undefined ? rows : await readAll([splitRows(testing)], options, deps);
  const testOrder = testing === undefined ? heldOut : Uint32Array.from({ length: test.store.length }, (_, i) => i);

  const heldOutKeys = new Set(Array.from(testOrder, (index) => test.keys[index]!));
  const trained = train.filter((index) => !heldOutKeys.has(rows.keys[index]!));
  if (trained.length === 0) {
    throw new DataError(`${path}: every row's problem is held out too, so none is left for training.`);
  }
  const rounds = new Rounds(trained.length, deps.seed);
  const firstId = testing === undefined ? 0 : FIRST_HELD_OUT_ID;
  return {
    name: more.length === 0 ? path : `${path} and ${more.length} more`,
    trainCount: trained.length,
    train: (index) => {
      const id = trained[rounds.at(index)]!;
      return { id, row: rows.store.at(id) };
    },
    heldOutCount: testOrder.length,
    heldOut: (index) => {
      const number = testOrder[index]!;
      return { id: firstId + number, row: test.store.at(number) };
    },
    leftOutCount: train.length - trained.length,
  };
}

interface FoundSource {
  readonly source: DataSource;
  readonly dataset: Dataset;
  readonly split: DatasetSplit;
}

async function find(source: DataSource, { resolveDataset = fetchDataset }: LoadDeps): Promise<FoundSource> {
  const dataset = await findDataset(await resolveDataset(source.path), source.config);
  return { source, dataset, split: splitOf(dataset, source.split) };
}

/** The rows of all sources, numbered through, and the numbers of those that are taken, in order. */
async function readSources(
  sources: readonly FoundSource[],
  options: DataOptions,
  deps: LoadDeps,
): Promise<{ readonly rows: ReadRows; readonly taken: Uint32Array }> {
  const takesAll = sources.every(({ source }) => source.share === 1);
  const limit = options.shuffle || !takesAll ? undefined : options.select;
  const rows = await readAll(
    sources.map(({ split }) => splitRows(split)),
    options,
    deps,
    limit,
  );
  const taken = rows.ends.flatMap((end, i) => {
    const start = i === 0 ? 0 : rows.ends[i - 1]!;
    const drawn = drawShare(end - start, sources[i]!.source.share, options.seed, i);
    return Array.from(drawn, (place) => start + place);
  });
  return { rows, taken: Uint32Array.from(taken) };
}

interface ReadRows {
  readonly store: RowStore;
  /** A 52-bit hash of each row's identity: of a million rows, two differ and share one with odds of 1 to 9,000. */
  readonly keys: readonly number[];
  /** For each stream of rows the number of the first row after it. */
  readonly ends: readonly number[];
}

async function readAll(
  streams: readonly AsyncIterable<DataRow>[],
  { columns }: DataOptions,
  { identify }: LoadDeps,
  limit = Number.POSITIVE_INFINITY,
): Promise<ReadRows> {
  const store = new RowStore();
  const keys: number[] = [];
  const ends: number[] = [];
  for (const stream of streams) {
    if (store.length < limit) {
      for await (const read of stream) {
        const row = mapColumns(read, columns);
        keys.push(hashIdentity(identify(row)));
        store.add(row);
        if (store.length >= limit) break;
      }
    }
    ends.push(store.length);
  }
  return { store, keys, ends };
}

/**
 * The row with the columns that `mapping` names (wanted name → name in the data) under their wanted names; the others,
 * and those under their own names, stay.
 *
 * @throws DataError where one of them is not there.
 */
function mapColumns(row: DataRow, mapping: Readonly<Record<string, string>>): DataRow {
  const fields: Record<string, unknown> = { ...row.fields };
  for (const [wanted, column] of Object.entries(mapping)) {
    if (!Object.hasOwn(row.fields, column)) {
      const nearest = nearestName(column, Object.keys(row.fields));
      const hint = nearest === undefined ? "" : ` Is ${nearest} meant?`;
      throw new DataError(
        `${placeOf(row)}: expected the column ${column}, which data.columns names for ${wanted}, but it is not there; ` +
          `${columnsText(row)}.${hint}`,
      );
    }
    fields[wanted] = row.fields[column];
  }
  return { ...row, fields };
}

function hashIdentity(text: string): number {
  const first = hashString(text);
  const [second] = philox(first, hashString(`${text.length}/${text}`), [0]);
  return first * 2 ** 20 + (second & 0xfffff);
}
