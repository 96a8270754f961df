/**
 * The data of a recipe: from `data:` to rows for training and rows held out.
 *
 * Every row that is read is checked at once, so a column that is missing in row 400,000 stops a run before it begins.
 * Reading stops early where it can: the first n rows, unshuffled, are all that is read then.
 *
 * A row that is held out is never trained on: where the same problem stands in several rows (by the task's own notion of
 * the same), its rows on the training side are left out. The seeds' `train_test_split` does not do that.
 */

import { DataError, nearestName } from "../errors.ts";
import { hashString, philox } from "../random.ts";
import { findDataset, splitOf, splitRows } from "./dataset-folder.ts";
import type { LoadedData } from "./loaded-data.ts";
import type { DataOptions } from "./options.ts";
import { fetchDataset, type ResolveDataset } from "./reference.ts";
import { columnsOf, type DataRow, placeOf } from "./row.ts";
import { RowStore } from "./row-store.ts";
import { Rounds, selectRows } from "./selection.ts";

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
  const path = await (deps.resolveDataset ?? fetchDataset)(options.path);
  const dataset = await findDataset(path, options.config);
  const training = splitOf(dataset, options.split);
  const testing = options.testSplit === undefined ? undefined : splitOf(dataset, options.testSplit);

  const limit = options.shuffle ? undefined : options.select;
  const rows = await readAll(splitRows(training), options, deps, limit);
  const { train, heldOut } = selectRows(rows.store.length, options);
  const used = new Set([...train, ...heldOut]);
  rows.store.forget((index) => used.has(index));
  const test = testing === undefined ? rows : await readAll(splitRows(testing), options, deps);
  const testOrder = testing === undefined ? heldOut : Uint32Array.from({ length: test.store.length }, (_, i) => i);

  const heldOutKeys = new Set(Array.from(testOrder, (index) => test.keys[index]!));
  const trained = train.filter((index) => !heldOutKeys.has(rows.keys[index]!));
  if (trained.length === 0) {
    throw new DataError(`${path}: every row's problem is held out too, so none is left for training.`);
  }
  const rounds = new Rounds(trained.length, deps.seed);
  const firstId = testing === undefined ? 0 : FIRST_HELD_OUT_ID;
  return {
    name: path,
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

interface ReadRows {
  readonly store: RowStore;
  /** A 52-bit hash of each row's identity: of a million rows, two differ and share one with odds of 1 to 9,000. */
  readonly keys: readonly number[];
}

async function readAll(
  source: AsyncIterable<DataRow>,
  { columns }: DataOptions,
  { identify }: LoadDeps,
  limit = Number.POSITIVE_INFINITY,
): Promise<ReadRows> {
  const store = new RowStore();
  const keys: number[] = [];
  for await (const read of source) {
    const row = mapColumns(read, columns);
    keys.push(hashIdentity(identify(row)));
    store.add(row);
    if (store.length >= limit) break;
  }
  return { store, keys };
}

/**
 * The row with the columns that `mapping` names (wanted name → name in the data) under their wanted names; the others,
 * and those under their own names, stay.
 *
 * @throws DataError where one of them is not there.
 */
export function mapColumns(row: DataRow, mapping: Readonly<Record<string, string>>): DataRow {
  const fields: Record<string, unknown> = { ...row.fields };
  for (const [wanted, column] of Object.entries(mapping)) {
    if (!Object.hasOwn(row.fields, column)) {
      const nearest = nearestName(column, Object.keys(row.fields));
      const hint = nearest === undefined ? "" : ` Is ${nearest} meant?`;
      throw new DataError(
        `${placeOf(row)}: expected the column ${column}, which data.columns names for ${wanted}, but it is not there; ` +
          `${columnsOf(row)}.${hint}`,
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
