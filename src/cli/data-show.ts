/** `aha data show`: what a data set holds, before a recipe is written for it. */

import { stat } from "node:fs/promises";
import { type Dataset, type DatasetSplit, findDataset, splitOf, splitRows } from "../data/dataset-folder.ts";
import { formatOf, readRows } from "../data/formats.ts";
import { readDatasetLineage } from "../data/lineage.ts";
import { parquetRowCount } from "../data/parquet.ts";
import { type DataRow, placeOf } from "../data/row.ts";
import { columnTypes } from "../data/value-types.ts";
import { RunInterrupted, shorten } from "../errors.ts";
import { stringifyExactJson } from "../exact-json.ts";
import type { CommandContext } from "./command.ts";
import { datasetResolver } from "./dataset-path.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";

/** How many rows are read to find the types of columns. */
const LOOKED_AT = 100;

/** How much of a value is shown to people; --json has all of it. */
const SHOWN_CHARACTERS = 160;

/** Options of `aha data show`. */
export const SHOW_OPTIONS = {
  split: { type: "string" },
  config: { type: "string" },
  rows: { type: "string" },
  json: { type: "boolean" },
} as const;

interface CountedSplit extends DatasetSplit {
  readonly rows: number;
}

/**
 * Runs `aha data show PATH`: configurations, splits with their rows counted, where a data step made them its lineage,
 * columns with their types, first rows. Rows of text files are counted by reading them, so a file that ends in a bad
 * line is found; for Parquet the footer is trusted.
 *
 * @throws ConfigError, DataError, HubError
 */
export async function showData(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("data", args, SHOW_OPTIONS, ["show", "PATH"]);
  const shownRows = values.rows === undefined ? 5 : wholeNumberOption("rows", values.rows, 0);
  const dataset = await findDataset(await datasetResolver(context)(positionals[1]!), values.config);
  const split = splitOf(dataset, values.split);
  const first = await firstRows(split, Math.max(LOOKED_AT, shownRows));
  const splits: CountedSplit[] = [];
  for (const each of dataset.splits) splits.push({ ...each, rows: await countRows(each, context) });
  const lineage = (await stat(dataset.path)).isDirectory() ? await readDatasetLineage(dataset.path) : undefined;
  const columns = columnTypes(first.slice(0, LOOKED_AT));
  const rows = first.slice(0, shownRows);
  context.out(
    values.json
      ? `${stringifyExactJson({ ...dataset, splits, lineage, split: split.name, columns, rows: rows.map(({ fields }) => fields) })}\n`
      : describe(dataset, splits, lineage, split.name, columns, rows),
  );
  return 0;
}

async function firstRows(split: DatasetSplit, count: number): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of splitRows(split)) {
    rows.push(row);
    if (rows.length >= count) break;
  }
  return rows;
}

async function countRows({ files }: DatasetSplit, context: CommandContext): Promise<number> {
  let count = 0;
  for (const file of files) {
    if (formatOf(file) === "parquet") {
      count += await parquetRowCount(file);
      continue;
    }
    for await (const _ of readRows(file)) {
      if (context.signal.aborted) throw new RunInterrupted("Stopped while the rows were counted.");
      count++;
    }
  }
  return count;
}

function describe(
  { path, config, configs }: Dataset,
  splits: readonly CountedSplit[],
  lineage: Readonly<Record<string, unknown>> | undefined,
  shownSplit: string,
  columns: ReturnType<typeof columnTypes>,
  rows: readonly DataRow[],
): string {
  const ofConfigs = configs.length > 1 ? ` (of ${configs.join(", ")})` : "";
  const lines = [config === undefined ? path : `${path}, configuration ${config}${ofConfigs}`, ""];
  for (const { name, files, rows: count } of splits) {
    const of = files.length === 1 ? "1 file" : `${files.length} files`;
    lines.push(`split ${name}: ${count} rows in ${of} (${formatOf(files[0]!) ?? "jsonl"})`);
  }
  if (lineage !== undefined) lines.push("", "lineage", ...fieldLines(lineage));
  const width = Math.max(0, ...columns.map(({ name }) => name.length)) + 2;
  lines.push("", `columns of ${shownSplit}`, ...columns.map(({ name, type }) => `  ${name.padEnd(width)}${type}`));
  for (const row of rows) {
    lines.push("", placeOf(row), ...fieldLines(row.fields, width));
  }
  return `${lines.join("\n")}\n`;
}

/** A line for each field, its value shortened; `width` is that of the names' column, the longest name and two if absent. */
function fieldLines(
  fields: Readonly<Record<string, unknown>>,
  width = Math.max(0, ...Object.keys(fields).map((name) => name.length)) + 2,
): string[] {
  return Object.entries(fields).map(([name, value]) => `  ${name.padEnd(width)}${brief(value)}`);
}

function brief(value: unknown): string {
  return shorten(stringifyExactJson(value), SHOWN_CHARACTERS);
}
