/** All rows of a JSON Lines file, in memory. */

import { type JsonlLimits, readJsonl } from "../../src/data/jsonl.ts";
import type { DataRow } from "../../src/data/row.ts";

export async function readAllJsonl(file: string, limits?: JsonlLimits): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of readJsonl(file, limits)) rows.push(row);
  return rows;
}
