/**
 * CSV as RFC 4180 has it (quoted cells may hold commas, line feeds and doubled quotes), the first record naming the
 * columns, read as a stream by `csv-parse`. Tab-separated files are the same with another delimiter.
 *
 * Every cell is text and an empty cell is the empty text: a type that is guessed from the first rows is wrong in a later
 * one, so those who read a column say what they take it for (Countdown's numbers, a conversation in JSON).
 */

import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { DataError } from "../errors.ts";
import { readChunks } from "./jsonl.ts";
import { type DataRow, placeOf, shorten } from "./row.ts";

/** The longest record: beyond it a quote was most likely left open. */
const MAX_RECORD_BYTES = 16 * 2 ** 20;

/** How many columns a file may have. */
const MAX_COLUMNS = 10_000;

/** A record's cells, and the line on which it begins. */
interface PlacedRecord {
  readonly cells: readonly string[];
  readonly line: number;
}

/**
 * The rows of a file, in order. A first column without a name, as pandas writes its index, is called `Unnamed: 0` as
 * pandas reads it.
 *
 * @throws DataError for a file that cannot be read, has no header, names a column twice or breaks CSV's rules, and for a
 * row of more or fewer cells than the header has: with file and line.
 */
export async function* readCsv(file: string, delimiter = ","): AsyncGenerator<DataRow, void, void> {
  let header: readonly string[] | undefined;
  for await (const { cells, line } of readRecords(file, delimiter)) {
    if (header === undefined) {
      header = headerOf(cells, placeOf({ file, line }));
      continue;
    }
    if (cells.length !== header.length) {
      throw new DataError(
        `${file}:${line}: expected ${header.length} cells, one for each column (${shorten(header.join(", "))}), ` +
          `the row has ${cells.length}. A cell with a comma, a quote or a line feed must stand in quotes.`,
      );
    }
    const fields = Object.fromEntries(header.map((name, i) => [name, cells[i]!]));
    yield { fields, file, line };
  }
  if (header === undefined) {
    throw new DataError(`${file}: expected a first line that names the columns, the file is empty.`);
  }
}

async function* readRecords(file: string, delimiter: string): AsyncGenerator<PlacedRecord, void, void> {
  // The parser's own count of lines takes a quoted \r\n for two.
  let linesBefore = 0;
  let emptyLines = 0;
  const parser = parse({
    delimiter,
    record_delimiter: ["\r\n", "\n"],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD_BYTES,
    on_record: (cells: string[], { empty_lines }) => {
      emptyLines = empty_lines;
      const line = 1 + linesBefore + emptyLines;
      linesBefore += 1 + lineFeedsIn(cells);
      // What is returned has to be cells: the line travels as the first.
      return [String(line), ...cells];
    },
  });
  const text = Readable.from(decode(file), { objectMode: false });
  text.on("error", (error) => parser.destroy(error));
  try {
    for await (const [line, ...cells] of text.pipe(parser) as AsyncIterable<string[]>) {
      yield { cells, line: Number(line) };
    }
  } catch (error) {
    if (!isCsvError(error)) throw error;
    const line = 1 + linesBefore + Math.max(emptyLines, error.empty_lines ?? 0);
    throw new DataError(`${file}:${line}: ${faultOf(error)}`);
  } finally {
    text.destroy();
  }
}

/** The file's text, piece by piece, without a byte order mark. */
async function* decode(file: string): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  const decoded = (bytes?: Buffer): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw new DataError(
        `${file}: expected UTF-8 text, which it is not at line ${line} or soon after. Save it as UTF-8.`,
      );
    }
  };
  for await (const bytes of readChunks(file)) {
    const piece = decoded(bytes);
    line += lineFeedsIn([piece]);
    yield piece;
  }
  yield decoded();
}

function headerOf(cells: readonly string[], place: string): readonly string[] {
  if (cells.length > MAX_COLUMNS) {
    throw new DataError(`${place}: expected at most ${MAX_COLUMNS} columns, the first line names ${cells.length}.`);
  }
  const names = cells.map((cell, i) => (i === 0 && cell === "" ? "Unnamed: 0" : cell));
  const fault = names.includes("")
    ? `column ${names.indexOf("") + 1} has no name`
    : names.find((name, i) => names.indexOf(name) !== i);
  if (fault === undefined) return names;
  const shown = names.includes("") ? fault : `${JSON.stringify(fault)} stands there twice`;
  throw new DataError(`${place}: expected a first line that names every column, each differently, but ${shown}.`);
}

function lineFeedsIn(texts: readonly string[]): number {
  let count = 0;
  for (const text of texts) {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  }
  return count;
}

function isCsvError(error: unknown): error is CsvError & { readonly empty_lines?: number } {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /CSV|QUOTE/.test(error.code);
}

function faultOf({ code, message }: CsvError): string {
  switch (code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return "a quote that opens in the row which begins here is never closed. Double a quote that is text.";
    case "CSV_MAX_RECORD_SIZE":
      return `the row which begins here is longer than ${MAX_RECORD_BYTES} bytes. Is a quote left open?`;
    default:
      return `the row which begins here breaks CSV's rules (${message}).`;
  }
}
