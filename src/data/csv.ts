/**
 * CSV as RFC 4180 has it (quoted cells may hold commas, line ends and doubled quotes), the first record naming the
 * columns, read as a stream by `csv-parse`. A record ends with CRLF, LF or CR, as in pandas. Tab-separated files are the
 * same with another delimiter.
 *
 * Every cell is text and an empty cell is the empty text: a type that is guessed from the first rows is wrong in a
 * later one, so the reader of a column decides its type (Countdown's numbers, a conversation in JSON).
 */

import { Readable } from "node:stream";
import { type CsvError, parse } from "csv-parse";
import { DataError } from "../errors.ts";
import { beginningOf, type DataRow, placeOf } from "./row.ts";
import { readTextBytes } from "./text-stream.ts";

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
 * A file without a single line has no rows: the shard of a split that is empty.
 *
 * @throws DataError for a file that cannot be read, names a column twice or not at all, or breaks CSV's rules, and for a
 * row of more or fewer cells than the header has: with file and line.
 */
export async function* readCsv(file: string, delimiter = ","): AsyncGenerator<DataRow, void, void> {
  let header: readonly string[] | undefined;
  for await (const { cells, line } of readRecords(file, delimiter)) {
    if (header === undefined) {
      header = headerOf(cells, placeOf({ file, line }), delimiter);
      continue;
    }
    if (cells.length !== header.length) {
      throw new DataError(
        `${file}:${line}: expected ${header.length} cells, one for each column (${beginningOf(header.join(", "))}), ` +
          `the row has ${cells.length}. A cell with a comma, a quote or a line feed must stand in quotes.`,
      );
    }
    const fields = Object.fromEntries(header.map((name, i) => [name, cells[i]!]));
    yield { fields, file, line };
  }
}

async function* readRecords(file: string, delimiter: string): AsyncGenerator<PlacedRecord, void, void> {
  // The parser's own count of lines takes a quoted \r\n for two.
  let linesBefore = 0;
  let emptyLines = 0;
  const parser = parse({
    delimiter,
    record_delimiter: ["\r\n", "\n", "\r"],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: MAX_RECORD_BYTES,
    on_record: (cells: string[], { empty_lines }) => {
      emptyLines = empty_lines;
      const line = 1 + linesBefore + emptyLines;
      linesBefore += 1 + lineEndsIn(cells);
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
  for await (const bytes of readTextBytes(file)) {
    const piece = decoded(bytes);
    line += lineEndsIn([piece]);
    yield piece;
  }
  yield decoded();
}

/** What cells may be set apart by in files that are called CSV. */
const DELIMITERS = [
  [",", "commas"],
  [";", "semicolons"],
  ["\t", "tabs"],
] as const;

function headerOf(cells: readonly string[], place: string, delimiter: string): readonly string[] {
  const other = cells.length > 1 ? undefined : DELIMITERS.find(([sign]) => cells[0]!.includes(sign));
  if (other !== undefined) {
    const [expected] = DELIMITERS.filter(([sign]) => sign === delimiter).map(([, name]) => name);
    throw new DataError(
      `${place}: expected cells with ${expected} between them, but the first line has ${other[1]}: ${beginningOf(cells[0]!)}. ` +
        (other[0] === "\t" ? "Give the file the ending .tsv." : `Save it with ${expected}.`),
    );
  }
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

/** CRLF is one. */
function lineEndsIn(texts: readonly string[]): number {
  let count = 0;
  for (const text of texts) {
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
    for (let at = text.indexOf("\r"); at >= 0; at = text.indexOf("\r", at + 1)) if (text[at + 1] !== "\n") count++;
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
