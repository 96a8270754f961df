/** The options of the Countdown task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { dataOptionsSchema } from "../../data/options.ts";
import { LANGUAGES } from "../language.ts";

const valueRuleSchema = z.strictObject({
  min: z.int().optional().describe("the least that an intermediate or final result may be"),
  max: z.int().optional().describe("the most that it may be"),
  integersOnly: z.boolean().default(true).describe("every result is a whole number: divisions come out exactly"),
});

const probability = z.number().min(0).max(1);

/** How cold-start demonstrations are drawn; facts and names are explained in `demonstration.ts`. */
const demonstrationOptionsSchema = z.strictObject({
  solutionProbability: probability.default(0.15).describe("probability that a try is the known solution"),
  giveUpProbability: probability.default(0.4).describe("probability that an impatient trace gives up after a miss"),
  patientShare: probability.default(0.2).describe("share of the traces that are patient"),
  patientGiveUpProbability: probability
    .default(0.05)
    .describe("probability that a patient trace gives up after a miss"),
  maxTries: z.int().min(1).max(1000).default(16).describe("most tries of a trace"),
  distinctTries: z
    .enum(["off", "text", "commuted"])
    .default("off")
    .describe(
      "which tries count as already made and are not made again in a trace: none (off), those of the same text, those equal up to the order of operands of + and * (commuted)",
    ),
  mixedLanguage: probability.default(0).describe("probability that a verdict is not in the prompt's language"),
  verdictWeight: z.number().positive().default(2).describe("loss weight of the verdicts (yes, too low, too high)"),
});

const HELD_OUT_SHARE = 0.125;

/** Defaults of what only the generator reads. */
const GENERATOR = { counts: [3, 4], min: 1, max: 99, targetMin: 10, targetMax: 99 };

/** The options of `task: { name: countdown, … }`, with their defaults; an impossible combination is refused. */
export const countdownOptionsSchema = z
  .strictObject({
    counts: z
      .array(z.int().min(2).max(6))
      .min(1)
      .default(GENERATOR.counts)
      .describe("how many numbers a problem has, drawn uniformly from this list"),
    min: z.int().min(0).default(GENERATOR.min).describe("the smallest number"),
    max: z.int().max(9999).default(GENERATOR.max).describe("the largest number"),
    targetMin: z.int().default(GENERATOR.targetMin).describe("the smallest target"),
    targetMax: z.int().default(GENERATOR.targetMax).describe("the largest target"),
    values: valueRuleSchema
      .optional()
      .describe(
        "what results have to be in the expression that makes a problem solvable, and in demonstrations; any fraction in problems, whole numbers ≥ 0 in demonstrations if absent",
      ),
    file: z
      .string()
      .min(1)
      .optional()
      .describe(
        'a file of problems (JSONL, Parquet or CSV; {"nums": [6, 3, 3], "target": 54} a row) in place of the generator, held out by their hash',
      ),
    data: dataOptionsSchema
      .optional()
      .describe("a data set in place of the generator: any path, mapped, shuffled, cut and split as it says"),
    prompt: z
      .enum(["english", "chinese", "compact"])
      .default("english")
      .describe("english and chinese are chat messages and need a chat template; compact is plain text"),
    languages: z
      .array(z.enum(LANGUAGES))
      .min(1)
      .optional()
      .describe(
        "compact: the languages of prompts, one drawn for each problem, which has it as the column language; english without that column if absent",
      ),
    heldOutShare: z
      .number()
      .gt(0)
      .lt(1)
      .default(HELD_OUT_SHARE)
      .describe("share of all distinct problems that is held out, decided by a hash of the problem"),
    heldOutDraws: z
      .enum(["natural", "distinct"])
      .default("natural")
      .describe("natural: as often as the generator, or the file, brings them up; distinct: each at most once"),
    demonstration: demonstrationOptionsSchema.prefault({}).describe("how cold-start demonstrations are drawn"),
  })
  .superRefine((options, context) => {
    const fail = (path: string, message: string): void => {
      context.addIssue({ code: "custom", path: [path], message });
    };
    if (options.min > options.max) fail("min", `expected at most max (${options.max}), got ${options.min}`);
    if (options.targetMin > options.targetMax) {
      fail("targetMin", `expected at most targetMax (${options.targetMax}), got ${options.targetMin}`);
    }
    const { min, max } = options.values ?? {};
    if (min !== undefined && max !== undefined && min > max)
      fail("values", `expected min at most max, got ${min} > ${max}`);
    if (options.languages !== undefined && options.prompt !== "compact") {
      fail("languages", `is of the prompt compact; ${options.prompt} has a language of its own. Leave it out`);
    }
    if (options.file === undefined && options.data === undefined) return;
    if (options.file !== undefined && options.data !== undefined) {
      fail("file", "and data both say where the problems come from; leave one of them out");
    }
    if (options.data !== undefined && options.heldOutShare !== HELD_OUT_SHARE) {
      fail("heldOutShare", "is of the generator and of file; with data it is data.testShare");
    }
    const source = options.file === undefined ? "data" : "file";
    for (const [key, value] of Object.entries(GENERATOR)) {
      const isDefault = JSON.stringify(options[key as keyof typeof GENERATOR]) === JSON.stringify(value);
      if (!isDefault) fail(key, `is of the generator and has no effect together with ${source}; leave one of them out`);
    }
  });

export type CountdownOptions = z.output<typeof countdownOptionsSchema>;
export type DemonstrationOptions = z.output<typeof demonstrationOptionsSchema>;
