/**
 * JSON Lines: one JSON object per line, UTF-8. Read as a stream, so that a data set need not fit into memory twice, with
 * errors that name file and line; written whole or not at all. Blank lines and a byte order mark are passed over.
 *
 * What it is not: a schema. A task or a reward says which columns it needs (`requireText`, or its own check), and a
 * `DataRow` carries what such an error has to name.
 */

import { createReadStream } from "node:fs";
import { DataError } from "../errors.ts";
import { systemReason, writeWholeFile } from "../files.ts";
import { type DataRow, shorten } from "./row.ts";

/** How much of a file is read before it is refused. */
export interface JsonlLimits {
  /** The longest line; a file without line feeds is refused after this much of it. */
  readonly maxLineBytes: number;
  /** The longest file. */
  readonly maxFileBytes: number;
}

/** The limits where a caller names none: 16 MiB for a line, 16 GiB for a file. */
const JSONL_LIMITS: JsonlLimits = { maxLineBytes: 16 * 2 ** 20, maxFileBytes: 16 * 2 ** 30 };

const LINE_FEED = 0x0a;

/**
 * The rows of a file, in order.
 *
 * @throws DataError for a file that cannot be read or is too long, and for a line that is too long, not UTF-8, not JSON,
 * or not an object: with file and line.
 */
export async function* readJsonl(
  file: string,
  limits: JsonlLimits = JSONL_LIMITS,
): AsyncGenerator<DataRow, void, void> {
  let line = 0;
  for await (const bytes of readLines(file, limits)) {
    line++;
    const row = parseLine(bytes, file, line);
    if (row) yield row;
  }
}

/** All rows of a file; for files that are known to be small enough. Errors as in `readJsonl`. */
export async function readAllJsonl(file: string, limits: JsonlLimits = JSONL_LIMITS): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of readJsonl(file, limits)) rows.push(row);
  return rows;
}

async function* readLines(file: string, limits: JsonlLimits): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = [];
  let partBytes = 0;
  let fileBytes = 0;
  let line = 1;
  const keep = (part: Buffer): void => {
    parts.push(part);
    partBytes += part.length;
    if (partBytes > limits.maxLineBytes) {
      throw new DataError(
        `${file}:${line}: expected a line of at most ${limits.maxLineBytes} bytes, this one is longer. ` +
          "JSON Lines has one object per line: is the file in that form?",
      );
    }
  };
  for await (const chunk of readChunks(file)) {
    fileBytes += chunk.length;
    if (fileBytes > limits.maxFileBytes) {
      throw new DataError(`${file}: expected at most ${limits.maxFileBytes} bytes, the file is longer. Split it.`);
    }
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      keep(chunk.subarray(start, end));
      yield Buffer.concat(parts);
      parts = [];
      partBytes = 0;
      line++;
      start = end + 1;
    }
    keep(chunk.subarray(start));
  }
  if (partBytes > 0) yield Buffer.concat(parts);
}

/** The bytes of a file, in order; a refusal of the operating system is a DataError that names the file. */
export async function* readChunks(file: string): AsyncGenerator<Buffer, void, void> {
  try {
    yield* createReadStream(file) as AsyncIterable<Buffer>;
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new DataError(`Cannot read ${file}: ${reason}. Check the path.`);
  }
}

function parseLine(bytes: Buffer, file: string, line: number): DataRow | undefined {
  let text: string;
  try {
    // The decoder drops a byte order mark where one begins its input; past line 1 there is none to be expected.
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new DataError(`${file}:${line}: expected UTF-8 text, the line is not. Save the file as UTF-8.`);
  }
  if (text.trim() === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new DataError(`${file}:${line}: expected one JSON object, the line is not JSON (${shorten(detail)}).`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(`${file}:${line}: expected a JSON object with named fields, got ${shorten(text.trim())}.`);
  }
  return { fields: value as Record<string, unknown>, file, line };
}

/**
 * Writes one line per row; an older file of that name is replaced once the new one is whole.
 *
 * @returns the number of rows.
 * @throws AhaError where the file cannot be written; then nothing has changed.
 */
export async function writeJsonl(file: string, rows: Iterable<object> | AsyncIterable<object>): Promise<number> {
  let count = 0;
  await writeWholeFile(file, async (handle) => {
    let pending: string[] = [];
    for await (const row of rows) {
      pending.push(`${JSON.stringify(row)}\n`);
      count++;
      if (pending.length >= 1024) {
        await handle.appendFile(pending.join(""));
        pending = [];
      }
    }
    await handle.appendFile(pending.join(""));
  });
  return count;
}
