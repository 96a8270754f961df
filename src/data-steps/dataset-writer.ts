/**
 * What a data step leaves: a folder `data/` with `train.jsonl`, `test.jsonl` where rows are held out, and `lineage.json`,
 * which appears whole. Rows are in a seeded order; a prompt's rows go to one side of the split together.
 */

import { join } from "node:path";
import { writeJsonl } from "../data/jsonl.ts";
import { LINEAGE_FILE } from "../data/lineage.ts";
import { stringifyExactJson } from "../exact-json.ts";
import { writeWhole } from "../files.ts";
import { Random } from "../random.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";

/** Name of the data set in a step's folder. */
const DATA_FOLDER = "data";

/** A row of a data set. */
export type DatasetRow = Readonly<Record<string, unknown>>;

/** How many rows were written. */
export interface RowCounts {
  readonly train: number;
  readonly test: number;
}

/** Writes the data set of a step into `directory`; `lineage` is everything to say of it but the number of rows. */
export async function writeDataset(
  directory: string,
  rows: readonly DatasetRow[],
  lineage: Readonly<Record<string, unknown>>,
  { seed, testShare }: { readonly seed: number; readonly testShare: number },
): Promise<RowCounts> {
  const shuffled = new Random(seed, "rows").shuffle([...rows]);
  const heldOut = heldOutPrompts(shuffled, testShare);
  const test = shuffled.filter((row) => heldOut.has(promptOf(row)));
  const train = shuffled.filter((row) => !heldOut.has(promptOf(row)));
  const counts = { train: train.length, test: test.length };
  await writeWholeFolder(join(directory, DATA_FOLDER), async (folder) => {
    await writeJsonl(join(folder, "train.jsonl"), train);
    if (test.length > 0) await writeJsonl(join(folder, "test.jsonl"), test);
    await writeWhole(join(folder, LINEAGE_FILE), `${JSON.stringify({ ...lineage, rows: counts }, null, 2)}\n`);
  });
  return counts;
}

/** The prompts that are held out: at least one where a share is asked for, and at least one left to train on. */
function heldOutPrompts(rows: readonly DatasetRow[], share: number): ReadonlySet<string> {
  if (share === 0) return new Set();
  const prompts = [...new Set(rows.map(promptOf))];
  return new Set(prompts.slice(0, Math.min(prompts.length - 1, Math.max(1, Math.round(prompts.length * share)))));
}

/** What the row asks. */
function promptOf({ prompt, messages, conversations }: DatasetRow): string {
  if (typeof prompt === "string") return prompt;
  const conversation = prompt ?? messages ?? conversations;
  return stringifyExactJson(
    Array.isArray(conversation) && conversation.length > 1 ? conversation.slice(0, -1) : conversation,
  );
}
