/**
 * The keys that data steps share. All such steps sample completions of a task's prompts, filter them, choose among them
 * and write them. Every rule by which a completion is kept is an item of `keep`, and a rule that a reward can express
 * is a reward with a threshold: so each rule is implemented once.
 */

import { z } from "zod";
import { textEndpointSchema } from "../endpoint/options.ts";
import { engineSchema, engines } from "../engine/open.ts";
import { cachedBy } from "../registry.ts";
import { rewardFault } from "../rewards/spec.ts";
import { taskSpecSchema, tasks } from "../tasks/registry.ts";

/** Folder of the parts in a step's own. */
export const PARTS_FOLDER = "parts";

/** What a filter looks at; an item of `keep` has exactly one of these keys. */
const FILTER_KINDS = ["verdict", "finished", "tokens", "statistic", "lacks", "reward"] as const;

const boundsShape = {
  min: z.number().optional().describe("least value that is kept"),
  max: z.number().optional().describe("greatest value that is kept"),
};

/** One item of `keep`. */
export const filterSchema = z
  .strictObject({
    verdict: z.enum(["solved", "wellFormed"]).optional().describe("the task's own verdict is yes"),
    finished: z.literal(true).optional().describe("the completion ended by itself, not at the length limit"),
    tokens: z
      .strictObject({
        min: z.int().min(0).optional().describe("the fewest tokens"),
        max: z.int().min(1).optional().describe("the most tokens"),
      })
      .optional()
      .describe("length of the completion as sampled"),
    statistic: z.string().min(1).optional().describe("a statistic of the task's verdict, between min and max"),
    lacks: z.string().min(1).optional().describe("a text that must not occur in the completion, e.g. ```"),
    reward: z
      .string()
      .min(1)
      .optional()
      .describe("a reward of the registry or of your own file, its score between min and max"),
    options: z.record(z.string(), z.unknown()).optional().describe("the reward's options"),
    timeoutMs: z.int().min(1).optional().describe("time limit of a reward of your own"),
    onAbstention: z.enum(["drop", "keep"]).optional().describe("whether a completion that it cannot judge is kept"),
    ...boundsShape,
  })
  .superRefine((filter, context) => {
    const fail = (message: string) => context.addIssue({ code: "custom", path: [], message });
    const kinds = FILTER_KINDS.filter((kind) => filter[kind] !== undefined);
    if (kinds.length !== 1) {
      fail(`expected exactly one of ${FILTER_KINDS.join(", ")}, got ${kinds.join(" and ") || "none of them"}`);
      return;
    }
    const bounded = filter.statistic !== undefined || filter.reward !== undefined;
    const hasBounds = filter.min !== undefined || filter.max !== undefined;
    if (bounded && !hasBounds) fail(`${kinds[0]} needs min or max, the threshold`);
    if (!bounded && hasBounds) fail(`min and max go with statistic and reward, not with ${kinds[0]}`);
    if (filter.min !== undefined && filter.max !== undefined && filter.min > filter.max) fail("min is above max");
    if (filter.reward === undefined && (filter.options ?? filter.timeoutMs ?? filter.onAbstention) !== undefined) {
      fail("options, timeoutMs and onAbstention go with reward");
    }
    const fault =
      filter.reward === undefined ? undefined : rewardFault({ name: filter.reward, options: filter.options ?? {} });
    if (fault !== undefined) fail(fault);
  });

export type FilterConfig = z.infer<typeof filterSchema>;

/** A model as a data step names it; a pipeline writes `{ from: STAGE }`. */
export const modelSchema = z.strictObject({
  path: z.string().min(1).describe("a model directory in the Hugging Face layout, or org/name[@revision] on the Hub"),
});

/** A model that writes: one on disk, or behind an endpoint. */
const writerSchema = z
  .strictObject({
    path: modelSchema.shape.path.optional(),
    endpoint: textEndpointSchema.optional().describe("a model behind an OpenAI-compatible endpoint"),
  })
  .refine(
    ({ path, endpoint }) => (path === undefined) !== (endpoint === undefined),
    "expected exactly one of path (a model on disk or on the Hub) and endpoint",
  );

/** What an endpoint cannot be told. */
export function refineWriter(
  { model, topK }: { readonly model: z.output<typeof writerSchema>; readonly topK: number },
  context: { readonly addIssue: (issue: { code: "custom"; path: string[]; message: string }) => void },
): void {
  if (model.endpoint === undefined || topK === 0) return;
  const message = "is no parameter of OpenAI's interface; leave it out beside model.endpoint";
  context.addIssue({ code: "custom", path: ["topK"], message });
}

/** A data set as a data step names it; a pipeline writes `{ from: STAGE }`. */
export const sourceShape = {
  path: z.string().min(1).describe("a data file or folder, or a data set of the Hub, org/name[@revision]"),
  split: z.string().min(1).optional().describe("the split to take; train, or the only one, if absent"),
};

/** What the column `kind` of a row says. */
export const KINDS = ["reasoning", "general"] as const;

/** Keys of what is written. */
export const outputShape = {
  seed: z.int().min(0).max(0xffffffff).default(0).describe("root of every draw; a pipeline gives each stage its own"),
  testShare: z.number().min(0).lt(1).default(0).describe("share of the prompts that goes to test.jsonl"),
};

/** Keys of a step that samples, filters and chooses. */
export const samplingShape = cachedBy([tasks, engines], () => ({
  model: writerSchema.describe("the model that is sampled"),
  engine: engineSchema()
    .refine(({ threads }) => threads === undefined, "threads are the pipeline's: give its own key threads")
    .optional()
    .describe(
      "what computes a model of path, as in a recipe, and reward models where it is local: device, dtype, limits; local, on the CPU, if absent",
    ),
  task: taskSpecSchema().describe("problems and their judge: its name and its own keys"),
  prompts: z.int().min(1).describe("training problems of the task that are asked"),
  firstPrompt: z.int().min(0).default(0).describe("number of the first of them in the task's stream"),
  samples: z.int().min(1).default(4).describe("completions of each prompt, k"),
  temperature: z.number().min(0).default(1).describe("softmax temperature; 0 is greedy"),
  topP: z.number().gt(0).max(1).default(1).describe("of the most probable tokens those with this mass; 1 is off"),
  topK: z.int().min(0).default(0).describe("0 is off"),
  maxCompletionTokens: z.int().min(1).default(512).describe("the longest completion"),
  stopAt: z.string().min(1).optional().describe("a completion is cut after the first occurrence of this text"),
  promptsPerPart: z.int().min(1).default(16).describe("prompts that are sampled at once and saved as one part"),
  keep: z
    .array(filterSchema)
    .default([{ verdict: "solved" }])
    .describe("filters, in order; the first that fails counts"),
  dedupe: z.boolean().default(true).describe("drop a completion whose normalised text its prompt has already"),
  keepPerPrompt: z.int().min(1).optional().describe("at most so many completions of a prompt; all if absent"),
  choose: z
    .enum(["random", "shortest", "longest", "first"])
    .default("random")
    .describe("which of them, where there are more"),
  kind: z.enum(KINDS).default("reasoning").describe("the column kind of the rows"),
  ...outputShape,
}));

const bucketSchema = z
  .strictObject({
    passRate: z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]).describe("[from, to], both included"),
    share: z.number().gt(0).max(1).describe("share of the rows that come from prompts of this pass rate"),
  })
  .refine(({ passRate: [from, to] }) => from <= to, "passRate is [from, to]: from is above to");

/** Keys that balance and mix. */
export const selectionShape = {
  difficulty: z
    .array(bucketSchema)
    .min(1)
    .optional()
    .describe(
      "balance by pass rate, the share of a prompt's k completions that are solved; the first bucket that fits",
    ),
  general: z
    .strictObject({ ...sourceShape, share: z.number().gt(0).lt(1).describe("share of the rows that are general") })
    .optional()
    .describe("non-reasoning data to mix in"),
};

/** What all sampling steps share. */
export type SamplingConfig = z.infer<
  z.ZodObject<Omit<ReturnType<typeof samplingShape>, "keepPerPrompt" | "choose" | "dedupe">>
>;

/** What steps that choose among completions share. */
export type ChoiceConfig = z.infer<z.ZodObject<ReturnType<typeof samplingShape>>> & SelectionConfig;

/** The keys that balance and mix. */
export type SelectionConfig = Partial<z.infer<z.ZodObject<typeof selectionShape>>>;
