/**
 * A row of a data set, whichever file format it came from, and the errors that name it: file, place, and the columns
 * that there are. Values are those of JSON (text, number, true and false, null, lists and mappings), a number that a double
 * does not hold being a bigint or an `ExactNumber`; what a format has beyond that its reader brings into this form.
 */

import { DataError, nearestName, shorten } from "../errors.ts";
import { stringifyExactJson } from "../exact-json.ts";

/** One row of a data file. */
export interface DataRow {
  /** Values by column. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Path as it was given. */
  readonly file: string;
  /** 1-based: the line where the row begins, or the number of the row, as `unit` says. */
  readonly line: number;
  /** "row" where the file has no lines (Parquet, one JSON list); absent in files of lines. */
  readonly unit?: "row";
}

/** Where a row stands, for people: `train.jsonl:17`, `train.parquet, row 17`. */
export function placeOf({ file, line, unit }: Omit<DataRow, "fields">): string {
  return unit === "row" ? `${file}, row ${line}` : `${file}:${line}`;
}

/**
 * The error for a column that is absent or not what it should be. `expected` is a noun, e.g. `a text`; where the column
 * is there its value is shown, and a column whose name is near is asked about.
 */
export function columnError(row: DataRow, column: string, expected: string): DataError {
  const names = Object.keys(row.fields);
  const value = row.fields[column];
  const nearest = value === undefined ? nearestName(column, names) : undefined;
  const hint = nearest === undefined ? "" : ` Is ${nearest} meant?`;
  const fault = value === undefined ? "is not there" : `is ${beginningOf(stringifyExactJson(value))}`;
  return new DataError(
    `${placeOf(row)}: expected ${expected} in the column ${column}, which ${fault}; ${columnsText(row)}.${hint}`,
  );
}

/** `the columns of this row are: a, b`. */
export function columnsText(row: DataRow): string {
  return `the columns of this row are: ${Object.keys(row.fields).map(beginningOf).join(", ") || "none"}`;
}

/**
 * The text in a column of a row.
 *
 * @throws DataError with file, place and the columns that there are, where it is absent or not a string.
 */
export function requireText(row: DataRow, column: string): string {
  const value = row.fields[column];
  if (typeof value === "string") return value;
  throw columnError(row, column, "a text");
}

/** Text of a data file as a message may show it: its beginning. */
export function beginningOf(text: string): string {
  return shorten(text, 120);
}
