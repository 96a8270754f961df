/** File formats by the ending of a file's name, and the one reader for each. */

import { readCsv } from "./csv.ts";
import { readJson } from "./json-list.ts";
import { readJsonl } from "./jsonl.ts";
import { readParquet } from "./parquet.ts";
import type { DataRow } from "./row.ts";

/** How a file is read. */
export type DataFormat = "jsonl" | "json" | "parquet" | "csv" | "tsv";

const FORMATS: ReadonlyMap<string, DataFormat> = new Map([
  [".jsonl", "jsonl"],
  [".ndjson", "jsonl"],
  [".json", "json"],
  [".parquet", "parquet"],
  [".csv", "csv"],
  [".tsv", "tsv"],
]);

/** Endings that are known, for messages. */
export const DATA_ENDINGS: readonly string[] = [...FORMATS.keys()];

/** The format of a file by its name; undefined where the ending is none of `DATA_ENDINGS`. */
export function formatOf(file: string): DataFormat | undefined {
  const dot = file.lastIndexOf(".");
  return dot < 0 ? undefined : FORMATS.get(file.slice(dot).toLowerCase());
}

/**
 * The rows of a file, in order, as a stream. A file whose ending says nothing is taken for JSON Lines.
 *
 * @throws DataError with file and place for whatever is wrong with it.
 */
export function readRows(file: string): AsyncGenerator<DataRow, void, void> {
  switch (formatOf(file)) {
    case "parquet":
      return readParquet(file);
    case "csv":
      return readCsv(file);
    case "tsv":
      return readCsv(file, "\t");
    case "json":
      return readJson(file);
    default:
      return readJsonl(file);
  }
}

/** All rows of a file; for files that are known to be small enough. Errors as in `readRows`. */
export async function readAllRows(file: string): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of readRows(file)) rows.push(row);
  return rows;
}
