/**
 * The keys of the data steps: those that make the data sets between an R1 pipeline's trainers.
 *
 * `coldStart`, `rejectionSampling` and `teacherSamples` are one machine with three faces: completions of a task's prompts
 * are sampled, filtered, chosen among and written. `combine` mixes data sets that there are. Every rule by which a
 * completion is kept is an item of `keep`, and a rule that a reward can express is a reward with a threshold: nothing is
 * judged by two pieces of code.
 */

import { z } from "zod";
import { endpointShape, refineEndpoint, textEndpointSchema } from "../endpoint/options.ts";
import { ConfigError } from "../errors.ts";
import { JUDGED_PARTS } from "../rewards/judged-part.ts";
import { taskSpecSchema } from "../tasks/registry.ts";
import { createRewards } from "../train/grpo/config.ts";

/** What a filter looks at; an item of `keep` has exactly one of these keys. */
const FILTER_KINDS = ["verdict", "finished", "tokens", "statistic", "lacks", "reward"] as const;

const boundsShape = {
  min: z.number().optional().describe("least value that is kept"),
  max: z.number().optional().describe("greatest value that is kept"),
};

/** What is wrong with a reward's name or options; undefined: nothing. */
function rewardFault(name: string, options: Readonly<Record<string, unknown>> = {}): string | undefined {
  try {
    createRewards([{ name, weight: 1, options }]);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

/** One item of `keep`. */
export const filterSchema = z
  .strictObject({
    verdict: z.enum(["solved", "wellFormed"]).optional().describe("the task's own verdict is yes"),
    finished: z.literal(true).optional().describe("the completion ended by itself, not at the length limit"),
    tokens: z
      .strictObject({ min: z.int().min(0).optional(), max: z.int().min(1).optional() })
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
    onAbstention: z.enum(["drop", "keep"]).optional().describe("what becomes of a completion that it cannot judge"),
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
    const fault = filter.reward === undefined ? undefined : rewardFault(filter.reward, filter.options);
    if (fault !== undefined) fail(fault);
  });

export type FilterConfig = z.infer<typeof filterSchema>;

/** A model as a data step names it; a pipeline writes `{ from: STAGE }`. */
const modelSchema = z.strictObject({
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
function refineWriter(
  { model, topK }: { readonly model: z.output<typeof writerSchema>; readonly topK: number },
  context: { readonly addIssue: (issue: { code: "custom"; path: string[]; message: string }) => void },
): void {
  if (model.endpoint === undefined || topK === 0) return;
  const message = "is no parameter of OpenAI's interface; leave it out beside model.endpoint";
  context.addIssue({ code: "custom", path: ["topK"], message });
}

/** What a refining model is told where the recipe does not say it itself. */
export const DEFAULT_REFINER_INSTRUCTION =
  "You are given a problem and a text that thinks about it and answers it. Rewrite the text so that people like to read " +
  "it: one language throughout, whole sentences, no repetitions and no loops, every step that the answer needs, and the " +
  "same answer in the same form. Keep what it does, also where it doubts, checks itself or goes back. Keep its tags: " +
  "<think>, the thinking, </think>, and what follows, with <answer> tags where it has them.";

/** A model that rewrites what the sampled one wrote. */
const refinerSchema = z.strictObject({
  endpoint: z
    .strictObject({ ...endpointShape, timeoutMs: textEndpointSchema.shape.timeoutMs })
    .superRefine(refineEndpoint)
    .describe("a chat model behind an OpenAI-compatible endpoint"),
  instruction: z
    .string()
    .min(1)
    .optional()
    .describe("how to rewrite; asks for one readable language and the same answer"),
  temperature: z.number().min(0).default(0).describe("its sampling temperature"),
  maxCompletionTokens: z.int().min(1).default(2048).describe("its longest answer"),
});

export type RefinerConfig = z.infer<typeof refinerSchema>;

/** A data set as a data step names it; a pipeline writes `{ from: STAGE }`. */
const sourceShape = {
  path: z.string().min(1).describe("a data file or folder, or a data set of the Hub, org/name[@revision]"),
  split: z.string().min(1).optional().describe("the split to take; train, or the only one, if absent"),
};

const KINDS = ["reasoning", "general"] as const;

const outputShape = {
  seed: z.int().min(0).max(0xffffffff).default(0).describe("root of every draw; a pipeline gives each stage its own"),
  testShare: z.number().min(0).lt(1).default(0).describe("share of the prompts that goes to test.jsonl"),
};

const samplingShape = {
  model: writerSchema.describe("the model that is sampled"),
  task: taskSpecSchema,
  prompts: z.int().min(1).describe("training problems of the task that are asked"),
  firstPrompt: z.int().min(0).default(0).describe("number of the first of them in the task's stream"),
  samples: z.int().min(1).default(4).describe("completions of each prompt, k"),
  temperature: z.number().min(0).default(1).describe("softmax temperature; 0 is greedy"),
  topP: z.number().gt(0).max(1).default(1),
  topK: z.int().min(0).default(0).describe("0 is off"),
  maxCompletionTokens: z.int().min(1).default(512),
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
};

const bucketSchema = z
  .strictObject({
    passRate: z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]).describe("[from, to], both included"),
    share: z.number().gt(0).max(1).describe("share of the rows that come from prompts of this pass rate"),
  })
  .refine(({ passRate: [from, to] }) => from <= to, "passRate is [from, to]: from is above to");

const selectionShape = {
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

/** Stage 2 of R1: the keys of `coldStart`. */
export const coldStartSchema = z
  .strictObject({
    method: z.enum(["few-shot", "direct", "refine"]).describe("how long chains of thought are come by"),
    examples: z.int().min(1).optional().describe("few-shot: demonstrations of the task before each prompt (2)"),
    separator: z.string().optional().describe("few-shot: what stands between them (two line feeds)"),
    instruction: z.string().min(1).optional().describe("direct: what asks for reflection and verification"),
    template: z
      .string()
      .min(1)
      .optional()
      .describe("refine: the form of a refined completion, of {thinking}, {summary} and {answer}"),
    refiner: refinerSchema
      .optional()
      .describe("refine: a model that rewrites what the rules let through; none if absent"),
    ...samplingShape,
  })
  .superRefine(refineWriter)
  .superRefine(({ method, ...given }, context) => {
    const owners = {
      examples: "few-shot",
      separator: "few-shot",
      instruction: "direct",
      template: "refine",
      refiner: "refine",
    } as const;
    for (const [key, owner] of Object.entries(owners)) {
      if (given[key as keyof typeof owners] === undefined || owner === method) continue;
      context.addIssue({ code: "custom", path: [key], message: `goes with method ${owner}, not with ${method}` });
    }
  });

/** Stage 5 of R1: the keys of `rejectionSampling`; `teacherSamples`, stage 8, has the same. */
export const rejectionSamplingSchema = z
  .strictObject({ ...samplingShape, ...selectionShape })
  .superRefine(refineWriter);

const { keepPerPrompt: _, choose: __, dedupe: ___, ...pairedShape } = samplingShape;

/** Preference pairs for stage 7's reward model: the keys of `preferences`. */
export const preferencesSchema = z
  .strictObject({
    ...pairedShape,
    model: modelSchema.describe("the model that is sampled"),
    keep: z.array(filterSchema).default([]).describe("filters that both completions of a pair pass"),
    reward: z.string().min(1).optional().describe("what says which is better; the task's verdict (solved) if absent"),
    options: z.record(z.string(), z.unknown()).default({}).describe("the reward's options"),
    part: z
      .enum(JUDGED_PARTS)
      .default("completion")
      .describe("what a pair is of: whole completions, or the summaries after </think>, as reward_model judges it"),
    margin: z.number().min(0).default(0).describe("the chosen one's score is more than this above the other's"),
    pairsPerPrompt: z.int().min(1).default(1).describe("at most so many pairs of a prompt, each of other completions"),
  })
  .superRefine(({ samples, reward, options }, context) => {
    const fail = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (samples < 2) fail("samples", "a pair needs at least 2 samples of a prompt");
    const fault = reward === undefined ? undefined : rewardFault(reward, options);
    if (fault !== undefined) fail("reward", fault);
  });

const combinedSourceSchema = z
  .strictObject({
    ...sourceShape,
    rows: z.int().min(1).optional().describe("so many rows, drawn by seed; all if absent"),
    weight: z.number().gt(0).optional().describe("share of the total rows, relative to the other weights"),
    kind: z.enum(KINDS).optional().describe("the column kind of rows that have none"),
  })
  .refine(({ rows, weight }) => rows === undefined || weight === undefined, "expected rows or weight, not both");

/** The keys of `combine`. */
export const combineSchema = z
  .strictObject({
    data: z.array(combinedSourceSchema).min(1),
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

/** The schema of each data step by the key that names it in a pipeline. */
export const dataStepSchemas = {
  coldStart: coldStartSchema,
  rejectionSampling: rejectionSamplingSchema,
  teacherSamples: rejectionSamplingSchema,
  preferences: preferencesSchema,
  combine: combineSchema,
} as const;

export type DataStepName = keyof typeof dataStepSchemas;
export type ColdStartConfig = z.infer<typeof coldStartSchema>;
export type RejectionSamplingConfig = z.infer<typeof rejectionSamplingSchema>;
export type CombineConfig = z.infer<typeof combineSchema>;
export type PreferencesConfig = z.infer<typeof preferencesSchema>;
export type DataStepConfig = ColdStartConfig | RejectionSamplingConfig | PreferencesConfig | CombineConfig;
/** What all sampling steps share. */
export type SamplingConfig = Omit<
  RejectionSamplingConfig,
  "difficulty" | "general" | "keepPerPrompt" | "choose" | "dedupe"
>;
