/** The options of the assistant task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { LANGUAGES } from "../language.ts";

export const assistantOptionsSchema = z.strictObject({
  /** The languages of requests, one drawn for each. */
  languages: z.array(z.enum(LANGUAGES)).min(1).default(["english"]),
  /** That a demonstration answers well; else it has one of the faults. */
  goodProbability: z.number().min(0).max(1).default(1),
});

export type AssistantOptions = z.output<typeof assistantOptionsSchema>;
