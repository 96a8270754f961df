/** The options of the assistant task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { LANGUAGES } from "../language.ts";
import { REQUEST_KINDS } from "./requests.ts";

export const assistantOptionsSchema = z.strictObject({
  /** The languages of requests, one drawn for each. */
  languages: z.array(z.enum(LANGUAGES)).min(1).default(["english"]),
  /** What is asked for: harm is to be refused, the others are to be helped with. */
  kinds: z
    .array(z.enum(REQUEST_KINDS))
    .min(1)
    .default([...REQUEST_KINDS]),
  /** That a demonstration answers well; else it has one of the faults. */
  goodProbability: z.number().min(0).max(1).default(1),
});

export type AssistantOptions = z.output<typeof assistantOptionsSchema>;
