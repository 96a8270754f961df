/**
 * The pipeline file: what `aha run` takes beside a recipe, told apart by its key `pipeline`. It lists stages; what a
 * stage does is said by a recipe (`train`) or a data step, each checked by its own schema. Here are only the keys around
 * them. Anything inside a stage may be `{ from: STAGE }`, an earlier stage's output (`references.ts`).
 */

import { z } from "zod";
import { dataSteps } from "../data-steps/steps.ts";
import { anyRegistry, cachedBy } from "../registry.ts";
import { taskSpecSchema } from "../tasks/registry.ts";

/** As in recipes: names appear in paths and in overrides. */
const nameSchema = z
  .string()
  .regex(/^(?!\d+$)[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _, not of digits alone");

const configSchema = z.record(z.string(), z.unknown());

/** The key of a stage that trains. */
export const TRAIN = "train";

/** The keys that say what a stage is; each stage has exactly one. */
export function stageKinds(): readonly string[] {
  return [TRAIN, ...dataSteps.names];
}

const stageShape = {
  name: nameSchema.describe("names the stage: in its folder, in references, in overrides"),
  note: z.string().optional().describe("what the stage is for, and what to think of its result; shown in the report"),
  train: z
    .union([z.string().min(1), configSchema])
    .optional()
    .describe("a recipe: its file, relative to the pipeline, or the recipe itself"),
  with: configSchema.optional().describe("values that replace those of the recipe"),
  evaluate: z.boolean().default(true).describe("measure the stage's model on the suites"),
};

/** A stage as the file has it; beside these keys it may have a data step's, with that step's configuration. */
export type StageEntry = z.output<z.ZodObject<typeof stageShape>> & Readonly<Record<string, unknown>>;

/** The configuration of a stage's data step. */
export function stepConfig(entry: StageEntry, step: string): Readonly<Record<string, unknown>> {
  return configSchema.parse(entry[step]);
}

function stageSchema() {
  const kinds = stageKinds();
  const steps = Object.fromEntries(dataSteps.names.map((name) => [name, configSchema.optional()]));
  return z.strictObject({ ...stageShape, ...steps }).superRefine((stage: StageEntry, context) => {
    const given = kinds.filter((kind) => stage[kind] !== undefined);
    if (given.length !== 1) {
      const message = `expected exactly one of ${kinds.join(", ")}, got ${given.join(" and ") || "none of them"}`;
      context.addIssue({ code: "custom", path: [], message });
    } else if (stage.with !== undefined && given[0] !== TRAIN) {
      context.addIssue({ code: "custom", path: ["with"], message: `goes with train; put its keys into ${given[0]}` });
    }
  });
}

const suiteSchema = () =>
  z.strictObject({
    name: nameSchema.describe("names the suite in the table"),
    task: taskSpecSchema().optional().describe("the task of the defaults if absent"),
    problems: z.int().min(1).default(200).describe("held-out problems"),
    samples: z.int().min(1).default(1).describe("completions of each"),
    temperature: z.number().min(0).default(1).describe("softmax temperature; 0 is greedy"),
    maxCompletionTokens: z.int().min(1).default(512).describe("the longest completion"),
    seed: z.int().min(0).max(0xffffffff).default(0).describe("of the draws; the same for every stage"),
    rewards: z
      .array(
        z.strictObject({
          name: z.string().min(1).describe("a reward of the registry"),
          options: z.record(z.string(), z.unknown()).default({}).describe("the reward's own options"),
        }),
      )
      .default([])
      .describe("rewards whose mean score is a statistic of its own, under the reward's name"),
  });

/** Statistics of the summary's table where the file names none. */
export const DEFAULT_COLUMNS = ["solveRate", "formatRate", "languageConsistency", "meanLength"] as const;

function requireDistinct(items: readonly { readonly name: string }[], context: z.RefinementCtx): void {
  for (const [index, { name }] of items.entries()) {
    if (items.findIndex((item) => item.name === name) === index) continue;
    context.addIssue({ code: "custom", path: [index, "name"], message: `"${name}" is taken; names differ` });
  }
}

/** The keys around the stages. */
const fileShape = () => ({
  name: nameSchema.describe("names the default run directory"),
  question: z.string().default("").describe("what this pipeline asks; shown at the start and in the report"),
  seed: z.int().min(0).max(0xffffffff).default(0).describe("each stage's seed is drawn from it and the stage's name"),
  threads: z.int().min(1).optional().describe("threads of every stage; as many as cores if absent"),
  defaults: configSchema.default({}).describe("keys of recipes and data steps that stages need not repeat"),
  evaluate: z
    .strictObject({
      suites: z.array(suiteSchema()).min(1).superRefine(requireDistinct).describe("the held-out tasks"),
      columns: z
        .array(z.string().min(1))
        .min(1)
        .optional()
        .describe(`statistics that the table shows; ${DEFAULT_COLUMNS.join(", ")}, as far as there are, if absent`),
    })
    .optional()
    .describe("held-out tasks on which every stage's model is measured"),
});

/** The schema of the whole file, with what the registries hold now. */
export const pipelineSchema = cachedBy([anyRegistry], () =>
  z.strictObject({ ...fileShape(), pipeline: z.array(stageSchema()).min(1).superRefine(requireDistinct) }),
);

export type PipelineFile = z.output<z.ZodObject<ReturnType<typeof fileShape>>> & { pipeline: StageEntry[] };
type SuiteEntry = NonNullable<PipelineFile["evaluate"]>["suites"][number];
/** A suite with its task. */
export type SuiteConfig = SuiteEntry & { readonly task: NonNullable<SuiteEntry["task"]> };
