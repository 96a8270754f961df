/**
 * JSON Lines: one JSON object per line, UTF-8. Read as a stream, so that a data set need not fit into memory twice, with
 * errors that name file and line; written whole or not at all. Blank lines and a byte order mark are passed over, a line
 * ends with LF, CRLF or CR. Numbers keep their value (`exact-json.ts`), and a file that is one JSON list, whatever its
 * ending, is read as such (`json-list.ts`).
 *
 * What it is not: a schema. A task or a reward says which columns it needs (`requireText`, or its own check), and a
 * `DataRow` carries what such an error has to name.
 */

import { DataError } from "../errors.ts";
import { parseExactJson, stringifyExactJson } from "../exact-json.ts";
import { writeWholeFile } from "../files.ts";
import { beginsWithBracket, rowsOfList } from "./json-list.ts";
import { beginningOf, type DataRow } from "./row.ts";
import { MAX_TEXT_BYTES, readTextBytes } from "./text-stream.ts";

/** How much of a file is read before it is refused. */
export interface JsonlLimits {
  /** The longest line; a file without line ends is refused after this much of it. */
  readonly maxLineBytes: number;
  /** The longest file, unpacked. */
  readonly maxFileBytes: number;
}

/** The limits where a caller names none: 16 MiB for a line, 16 GiB for a file. */
const JSONL_LIMITS: JsonlLimits = { maxLineBytes: 16 * 2 ** 20, maxFileBytes: MAX_TEXT_BYTES };

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

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
  const pieces = readTextBytes(file, limits.maxFileBytes);
  const { isList, all } = await beginsWithBracket(pieces);
  if (isList) {
    yield* rowsOfList(all, file);
    return;
  }
  let line = 0;
  let isFirst = true;
  for await (const bytes of readLines(all, file, limits)) {
    line++;
    const row = parseLine(bytes, file, line, isFirst);
    if (row === undefined) continue;
    isFirst = false;
    yield row;
  }
}

async function* readLines(
  pieces: AsyncIterable<Buffer>,
  file: string,
  limits: JsonlLimits,
): AsyncGenerator<Buffer, void, void> {
  let parts: Buffer[] = [];
  let partBytes = 0;
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
  for await (const piece of withLineFeeds(pieces)) {
    let start = 0;
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, start)) {
      keep(piece.subarray(start, end));
      yield Buffer.concat(parts);
      parts = [];
      partBytes = 0;
      line++;
      start = end + 1;
    }
    keep(piece.subarray(start));
  }
  if (partBytes > 0) yield Buffer.concat(parts);
}

/**
 * The same bytes with LF where the file's first line ends with a CR alone. In JSON either is white space, and neither may
 * stand in a text, so nothing else changes.
 */
async function* withLineFeeds(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let ending: "CR" | "LF" | undefined;
  /** A piece that ends with the first CR: what follows decides. */
  let held: Buffer | undefined;
  for await (const next of pieces) {
    const piece = held === undefined ? next : Buffer.concat([held, next]);
    held = undefined;
    if (ending === undefined) {
      const [feed, carriage] = [piece.indexOf(LINE_FEED), piece.indexOf(CARRIAGE_RETURN)];
      if (carriage >= 0 && (feed < 0 || carriage < feed)) {
        if (carriage === piece.length - 1) {
          held = piece;
          continue;
        }
        ending = feed === carriage + 1 ? "LF" : "CR";
      } else if (feed >= 0) ending = "LF";
    }
    yield ending === "CR" ? Buffer.from(piece.map((byte) => (byte === CARRIAGE_RETURN ? LINE_FEED : byte))) : piece;
  }
  if (held !== undefined) yield held;
}

function parseLine(bytes: Buffer, file: string, line: number, isFirst: boolean): DataRow | undefined {
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
    value = parseExactJson(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const fault = error instanceof RangeError ? "is nested too deeply" : `is not JSON (${beginningOf(detail)})`;
    // The first line of an object that was written over several lines.
    const isOpened = isFirst && text.trim().startsWith("{") && !text.includes("}");
    const advice = isOpened ? " An object has to stand on one line; several may also be one list: [{…}, {…}]." : "";
    throw new DataError(`${file}:${line}: expected one JSON object, the line ${fault}.${advice}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(`${file}:${line}: expected a JSON object with named fields, got ${beginningOf(text.trim())}.`);
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
      pending.push(`${stringifyExactJson(row)}\n`);
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
