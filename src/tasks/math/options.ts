/** The options of the math task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { dataOptionsSchema } from "../../data/options.ts";

/** Kinds of problems that the generator makes; explained in `generator.ts`. */
export const PROBLEM_KINDS = ["arithmetic", "fractions", "linear"] as const;
export type ProblemKind = (typeof PROBLEM_KINDS)[number];

/** Defaults of what only the generator reads. */
const GENERATOR = { kinds: [...PROBLEM_KINDS] as ProblemKind[], maxOperand: 20, heldOutShare: 0.125 };

/** Names of the options that only the generator reads. */
export const MATH_GENERATOR_KEYS: readonly string[] = Object.keys(GENERATOR);

/** The options of `task: { name: math, … }`, with their defaults; an impossible combination is refused. */
export const mathOptionsSchema = z
  .strictObject({
    data: dataOptionsSchema
      .optional()
      .describe("a data set in place of the generator: NuminaMath's columns, GSM8K's, or others by data.columns"),
    gold: z
      .string()
      .min(1)
      .optional()
      .describe("the column with the gold answer, or with a solution that ends in it; absent: answer, else solution"),
    prompt: z
      .enum(["r1-zero", "boxed", "compact"])
      .default("r1-zero")
      .describe("r1-zero is plain text, boxed a chat message, compact plain text for a small vocabulary"),
    kinds: z
      .array(z.enum(PROBLEM_KINDS))
      .min(1)
      .default(GENERATOR.kinds)
      .describe("what the generator draws from, uniformly"),
    maxOperand: z
      .int()
      .min(3)
      .max(9999)
      .default(GENERATOR.maxOperand)
      .describe("the largest number in a generated problem"),
    heldOutShare: z
      .number()
      .gt(0)
      .lt(1)
      .default(GENERATOR.heldOutShare)
      .describe("share of all generated problems that is held out, decided by a hash of the problem"),
  })
  .superRefine((options, context) => {
    const fail = (path: string, message: string): void => {
      context.addIssue({ code: "custom", path: [path], message });
    };
    if (options.data === undefined) {
      if (options.gold !== undefined) fail("gold", "is a column of data and has no effect without it; leave it out");
      return;
    }
    for (const [key, value] of Object.entries(GENERATOR)) {
      const isDefault = JSON.stringify(options[key as keyof typeof GENERATOR]) === JSON.stringify(value);
      if (!isDefault) fail(key, "is of the generator and has no effect together with data; leave one of them out");
    }
  });

export type MathOptions = z.output<typeof mathOptionsSchema>;
