/**
 * `lineage.json` beside a data set: which step made it, of what, with which seed, and what each filter dropped. The data
 * steps (data-steps) write it; here it is read to be shown, whatever keys it has. It is no part of the rows.
 */

import { join } from "node:path";
import { DataError } from "../errors.ts";
import { readTextFileIfPresent } from "../files.ts";
import { parseJson } from "../json-text.ts";

/** Name of the file in a data set's folder. */
export const LINEAGE_FILE = "lineage.json";

/** Lineages are a few kilobytes; what is far larger is another file. */
const MAX_BYTES = 4 * 2 ** 20;

/**
 * The lineage of the data set in `folder`; undefined where there is none, as in most folders.
 *
 * @throws DataError where the file is no JSON object, or too large.
 */
export async function readDatasetLineage(folder: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const path = join(folder, LINEAGE_FILE);
  const text = await readTextFileIfPresent(path, { maxBytes: MAX_BYTES, error: DataError });
  if (text === undefined) return undefined;
  const value = parseJson(text, path, DataError);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(
      `${path}: expected a JSON object that says where the rows come from; remove or correct the file.`,
    );
  }
  return value as Readonly<Record<string, unknown>>;
}
