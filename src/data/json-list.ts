/**
 * A `.json` data file: one JSON list of objects, the form in which ShareGPT's conversations go around, or, under the
 * wrong name, JSON Lines. A list has to be read whole, so there is a bound on its size; JSON Lines have none.
 */

import { open } from "node:fs/promises";
import { DataError } from "../errors.ts";
import { parseJson, readTextFile, systemReason } from "../files.ts";
import { readJsonl } from "./jsonl.ts";
import { type DataRow, shorten } from "./row.ts";

/** A JavaScript string has at most 2^29 characters. */
const MAX_LIST_BYTES = 256 * 2 ** 20;

/** How much of a file is looked at for its first character. */
const BEGINNING_BYTES = 4096;

/**
 * The rows of a file, in order.
 *
 * @throws DataError for a list that is too large, not JSON, or of anything but objects; else as `readJsonl`.
 */
export async function* readJson(file: string): AsyncGenerator<DataRow, void, void> {
  if (!(await beginsWithBracket(file))) {
    yield* readJsonl(file);
    return;
  }
  const text = await readTextFile(file, { maxBytes: MAX_LIST_BYTES, error: DataError });
  const values = parseJson(text, file, DataError) as unknown[];
  for (const [i, value] of values.entries()) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      const shown = shorten(JSON.stringify(value));
      throw new DataError(`${file}, row ${i + 1}: expected a JSON object with named columns, got ${shown}.`);
    }
    yield { fields: value as Record<string, unknown>, file, line: i + 1, unit: "row" };
  }
}

async function beginsWithBracket(file: string): Promise<boolean> {
  try {
    const handle = await open(file, "r");
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(BEGINNING_BYTES), 0, BEGINNING_BYTES, 0);
      return new TextDecoder().decode(buffer.subarray(0, bytesRead)).trimStart().startsWith("[");
    } finally {
      await handle.close();
    }
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new DataError(`Cannot read ${file}: ${reason}. Check the path.`);
  }
}
