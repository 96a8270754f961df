/** File formats by the ending of a file's name, and the one reader for each. */

import { DataError } from "../errors.ts";
import { readCsv } from "./csv.ts";
import { readJsonl } from "./jsonl.ts";
import { readParquet } from "./parquet.ts";
import type { DataRow } from "./row.ts";

/** How a file is read; `json` is one list or JSON Lines, whichever the file is, and so is `jsonl`. */
export type DataFormat = "jsonl" | "json" | "parquet" | "csv" | "tsv";

const FORMATS: ReadonlyMap<string, DataFormat> = new Map([
  [".jsonl", "jsonl"],
  [".ndjson", "jsonl"],
  [".json", "json"],
  [".parquet", "parquet"],
  [".csv", "csv"],
  [".tsv", "tsv"],
]);

/** Packed text is unpacked while it is read. */
const GZIP_ENDING = ".gz";

/** Endings of files that are packed in a way that is not read, and how to unpack them. */
const UNREAD_PACKINGS: ReadonlyMap<string, string> = new Map([
  [".zst", "zstd -d"],
  [".bz2", "bunzip2"],
  [".xz", "unxz"],
  [".lz4", "lz4 -d"],
  [".zip", "unzip"],
]);

/** Endings that are known, for messages. */
export const DATA_ENDINGS = `${[...FORMATS.keys()].join(", ")}, those of text also with ${GZIP_ENDING} after them`;

/** The format of a file by its name; undefined where its ending is none of `DATA_ENDINGS`. */
export function formatOf(file: string): DataFormat | undefined {
  const isGzipped = file.toLowerCase().endsWith(GZIP_ENDING);
  const format = FORMATS.get(endingOf(isGzipped ? file.slice(0, -GZIP_ENDING.length) : file));
  return isGzipped && format === "parquet" ? undefined : format;
}

/** The name without `.gz`, where it has that. */
export function unpackedName(file: string): string {
  return file.toLowerCase().endsWith(GZIP_ENDING) ? file.slice(0, -GZIP_ENDING.length) : file;
}

/** What to do with a file that holds rows by its name and is packed in a way that is not read; undefined for others. */
export function packingFault(file: string): string | undefined {
  const ending = endingOf(file);
  const command = ending === GZIP_ENDING ? "gunzip" : UNREAD_PACKINGS.get(ending);
  if (command === undefined || formatOf(file) !== undefined || formatOf(file.slice(0, -ending.length)) === undefined) {
    return undefined;
  }
  return `${file} is packed as ${ending}, which is not read for such files: unpack it first (${command} ${file})`;
}

function endingOf(file: string): string {
  const dot = file.lastIndexOf(".");
  return dot < 0 ? "" : file.slice(dot).toLowerCase();
}

/**
 * The rows of a file, in order, as a stream. A file whose ending says nothing is taken for JSON Lines.
 *
 * @throws DataError with file and place for whatever is wrong with it.
 */
export function readRows(file: string): AsyncGenerator<DataRow, void, void> {
  const fault = packingFault(file);
  if (fault !== undefined) throw new DataError(`${fault}.`);
  switch (formatOf(file)) {
    case "parquet":
      return readParquet(file);
    case "csv":
      return readCsv(file);
    case "tsv":
      return readCsv(file, "\t");
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
