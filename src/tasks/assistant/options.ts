/** The options of the assistant task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { LANGUAGES } from "../language.ts";
import { REQUEST_KINDS } from "./requests.ts";

export const assistantOptionsSchema = z.strictObject({
  languages: z
    .array(z.enum(LANGUAGES))
    .min(1)
    .default(["english"])
    .describe("the languages of requests, one drawn for each"),
  kinds: z
    .array(z.enum(REQUEST_KINDS))
    .min(1)
    .default([...REQUEST_KINDS])
    .describe("what is asked for: harm is to be refused, the others are to be helped with"),
  goodProbability: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("probability that a demonstration answers well; else it has one of the faults"),
});

export type AssistantOptions = z.output<typeof assistantOptionsSchema>;
