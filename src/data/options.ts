/** Which rows a task takes from a data set, as it stands in a recipe under `task.data`. */

import { z } from "zod";

/** One data set: where it is, and which of its rows are taken. */
const sourceShape = {
  path: z
    .string()
    .min(1)
    .describe("a data file, a folder in the Hub's layout, or a data set of the Hub, org/name[@revision]"),
  config: z.string().min(1).optional().describe("a configuration of the data set; its default one if absent"),
  split: z.string().min(1).optional().describe("the split to take; train, or the only one, if absent"),
  share: z.number().gt(0).max(1).default(1).describe("share of the split's rows that is taken, drawn by seed"),
};

/** The keys of `data:`, with their defaults; an impossible combination is refused. */
export const dataOptionsSchema = z
  .strictObject({
    ...sourceShape,
    more: z
      .array(z.strictObject(sourceShape))
      .min(1)
      .optional()
      .describe("further data sets, whose rows are added to these: together they are shuffled, selected and split"),
    columns: z
      .record(z.string().min(1), z.string().min(1))
      .default({})
      .describe("names that the task and its rewards read, each with the column that it stands for"),
    shuffle: z.boolean().default(true).describe("rows in a seeded order, before select"),
    select: z.int().min(1).optional().describe("the first so many rows; all if absent"),
    testShare: z.number().gt(0).lt(1).default(0.1).describe("share of the rows that is held out, drawn by seed"),
    testSplit: z
      .string()
      .min(1)
      .optional()
      .describe("a split of the data set at path that is held out, in place of a share"),
    seed: z.int().min(0).max(0xffffffff).default(0).describe("of shuffle and split: runs that share it hold out alike"),
  })
  .superRefine((options, context) => {
    if (options.testSplit === undefined) return;
    if (options.testShare !== 0.1) {
      const message = "has no effect together with testSplit; leave one of them out";
      context.addIssue({ code: "custom", path: ["testShare"], message });
    }
    if (options.testSplit === (options.split ?? "train")) {
      const message = `${options.testSplit} is trained on and cannot be held out too`;
      context.addIssue({ code: "custom", path: ["testSplit"], message });
    }
  });

export type DataOptions = z.output<typeof dataOptionsSchema>;

/** A data set of which rows are taken. */
export type DataSource = Pick<DataOptions, keyof typeof sourceShape>;

/** The data sets of which rows are taken, in the order in which these are numbered. */
export function sourcesOf({ path, config, split, share, more = [] }: DataOptions): DataSource[] {
  return [{ path, config, split, share }, ...more];
}

/**
 * Makes of a path itself, and of a data set of the Hub, `org/name[@revision]`, a local folder in the Hub's layout
 * (README.md, data/…), from the cache or by download.
 */
export type ResolveDataset = (reference: string) => Promise<string>;
