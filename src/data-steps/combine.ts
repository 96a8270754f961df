/**
 * Mixes data sets into one: all rows of each, so many of each, or a total by weights. Rows are drawn by seed without
 * replacement; rows are not repeated where a data set has too few.
 *
 * Rows stay as they are, columns and all, with a `kind` where they have none. The trainer decides whether it can read
 * rows of several forms.
 */

import { z } from "zod";
import { DataError, RunInterrupted } from "../errors.ts";
import { stringifyExactJson } from "../exact-json.ts";
import { pathAt, pathsOfItems } from "../named-paths.ts";
import { Random } from "../random.ts";
import { KINDS, outputShape, sourceShape } from "./config.ts";
import { type DatasetRow, writeDataset } from "./dataset-writer.ts";
import { readRowsOf } from "./sampled-dataset.ts";
import { normalised } from "./selection.ts";
import { type DataStepOutcome, defineDataStep } from "./step.ts";
import { type DataStepContext, nameIn } from "./step-context.ts";

const combinedSourceSchema = z
  .strictObject({
    ...sourceShape,
    rows: z.int().min(1).optional().describe("so many rows, drawn by seed; all if absent"),
    weight: z.number().gt(0).optional().describe("share of the total rows, relative to the other weights"),
    kind: z.enum(KINDS).optional().describe("the column kind of rows that have none"),
  })
  .refine(({ rows, weight }) => rows === undefined || weight === undefined, "expected rows or weight, not both");

/** The keys. */
export const combineSchema = z
  .strictObject({
    data: z.array(combinedSourceSchema).min(1).describe("the data sets that are put together"),
    rows: z.int().min(1).optional().describe("rows in all; needed by weights"),
    dedupe: z.boolean().default(true).describe("drop rows that are there already, white space aside"),
    ...outputShape,
  })
  .superRefine(({ data, rows }, context) => {
    const weighted = data.filter(({ weight }) => weight !== undefined).length;
    if (weighted > 0 && weighted < data.length) {
      context.addIssue({ code: "custom", path: ["data"], message: "expected a weight for each data set, or for none" });
    }
    if (weighted > 0 !== (rows !== undefined)) {
      context.addIssue({ code: "custom", path: ["rows"], message: "rows in all and weights go together" });
    }
  });

type CombineConfig = z.infer<typeof combineSchema>;

/** The step, as a pipeline sees it. */
export const combine = defineDataStep({
  name: "combine",
  schema: () => combineSchema,
  paths: (config) => pathsOfItems(config, ["data"], (source) => pathAt(source, ["path"], "dataset", { hub: true })),
  run: combineData,
});

/**
 * Reads, mixes and writes.
 *
 * @throws DataError for data that cannot be read, or a data set with fewer rows than asked for; RunInterrupted
 */
async function combineData(config: CombineConfig, context: DataStepContext): Promise<DataStepOutcome> {
  const weights = config.data.reduce((sum, { weight = 0 }) => sum + weight, 0);
  const rows: DatasetRow[] = [];
  const sources: object[] = [];
  const seen = new Set<string>();
  for (const [index, { path, split, rows: count, weight, kind }] of config.data.entries()) {
    if (context.signal.aborted)
      throw new RunInterrupted("Stopped; nothing was written. Run the same command to go on.");
    const found = await readRowsOf(path, split);
    const distinct = config.dedupe ? found.filter((row) => isNew(row, seen)) : found;
    const wanted = weight === undefined ? count : Math.round((config.rows! * weight) / weights);
    if (wanted !== undefined && distinct.length < wanted) {
      throw new DataError(
        `combine: ${path} has ${distinct.length} rows${config.dedupe ? " that are not there already" : ""}, fewer than ` +
          `the ${wanted} that are wanted of it. Ask for fewer (rows, weight), or make more.`,
      );
    }
    const drawn = new Random(config.seed, `combine/${index}`).shuffle([...distinct]).slice(0, wanted);
    for (const row of drawn) rows.push({ ...row, ...(kind === undefined || "kind" in row ? {} : { kind }) });
    sources.push({
      data: nameIn(context, path),
      found: found.length,
      duplicates: found.length - distinct.length,
      taken: drawn.length,
    });
    context.onProgress?.({
      prompts: index + 1,
      totalPrompts: config.data.length,
      kept: rows.length,
      candidates: rows.length,
      tokens: 0,
    });
  }
  if (rows.length === 0) throw new DataError("combine: every row is a duplicate of another; nothing is left.");
  const lineage = { step: combine.name, seed: config.seed, inputs: context.inputs ?? {}, sources };
  const counts = await writeDataset(context.directory, rows, lineage, config);
  return { ...counts, lineage: { ...lineage, rows: counts } };
}

/** Whether no row of the same texts came before. */
function isNew(
  { prompt, completion, messages, conversations, chosen, rejected }: DatasetRow,
  seen: Set<string>,
): boolean {
  const text = normalised(stringifyExactJson([prompt, completion, messages, conversations, chosen, rejected]));
  if (seen.has(text)) return false;
  seen.add(text);
  return true;
}
