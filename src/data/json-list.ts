/**
 * A data file that is one JSON list of objects, the form in which ShareGPT's conversations go around. A list has to be
 * read whole, so there is a bound on its size; JSON Lines have none.
 */

import { DataError } from "../errors.ts";
import { parseExactJson, stringifyExactJson } from "../exact-json.ts";
import { beginningOf, type DataRow } from "./row.ts";

/** A JavaScript string has at most 2^29 characters. */
const MAX_LIST_BYTES = 256 * 2 ** 20;

const BRACKET = 0x5b;

/** What may stand before the bracket: a byte order mark, white space. */
const SKIPPED = new Set([0xef, 0xbb, 0xbf, 0x09, 0x0a, 0x0d, 0x20]);

/** Whether the first character of a text, white space aside, opens a list; and the text's bytes again. */
export async function beginsWithBracket(
  pieces: AsyncGenerator<Buffer, void, void>,
): Promise<{ readonly isList: boolean; readonly all: AsyncGenerator<Buffer, void, void> }> {
  const seen: Buffer[] = [];
  let first: number | undefined;
  while (first === undefined) {
    const { value, done } = await pieces.next();
    if (done || value === undefined) break;
    seen.push(value);
    first = value.find((byte) => !SKIPPED.has(byte));
  }
  return { isList: first === BRACKET, all: followedBy(seen, pieces) };
}

async function* followedBy<T>(seen: readonly T[], rest: AsyncGenerator<T, void, void>): AsyncGenerator<T, void, void> {
  try {
    yield* seen;
    yield* rest;
  } finally {
    await rest.return();
  }
}

/**
 * The rows of a list, in order; `pieces` are the bytes of `file`.
 *
 * @throws DataError for a list that is too large, not JSON, or of anything but objects.
 */
export async function* rowsOfList(pieces: AsyncIterable<Buffer>, file: string): AsyncGenerator<DataRow, void, void> {
  const values = parseList(await textOf(pieces, file), file);
  for (const [i, value] of values.entries()) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      const shown = beginningOf(stringifyExactJson(value));
      throw new DataError(`${file}, row ${i + 1}: expected a JSON object with named columns, got ${shown}.`);
    }
    yield { fields: value as Record<string, unknown>, file, line: i + 1, unit: "row" };
  }
}

function parseList(text: string, file: string): readonly unknown[] {
  try {
    return parseExactJson(text) as unknown[];
  } catch (error) {
    const detail =
      error instanceof RangeError ? "it is nested too deeply" : error instanceof Error ? error.message : "";
    throw new DataError(
      `${file} begins as a JSON list, and is not one as a whole: ${beginningOf(detail)}. Expected one list of objects, or JSON ` +
        "Lines, which have an object on each line.",
    );
  }
}

async function textOf(pieces: AsyncIterable<Buffer>, file: string): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    parts.push(piece);
    length += piece.length;
    if (length > MAX_LIST_BYTES) {
      throw new DataError(
        `${file}: a JSON list of more than ${MAX_LIST_BYTES} bytes is not read, for it has to be in memory whole. Save the ` +
          "rows as JSON Lines or Parquet.",
      );
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    throw new DataError(`${file}: expected UTF-8 text, which it is not. Save it as UTF-8.`);
  }
}
