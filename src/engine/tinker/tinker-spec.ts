/** The keys of the engine on a Tinker server in a spec. */

import { z } from "zod";
import { addressFault } from "../../endpoint/options.ts";
import { PROFILE_NAMES } from "./profile.ts";

/** The keys. */
export const tinkerShape = {
  url: z
    .string()
    .superRefine((url, context) => {
      const fault = addressFault(url, "http://127.0.0.1:8000");
      if (fault !== undefined) context.addIssue(fault);
    })
    .describe("where the server is; its key comes from the environment variable TINKER_API_KEY"),
  baseModel: z.string().min(1).describe("what the server calls the model that an adapter is trained of"),
  rank: z.int().min(1).optional().describe("rank of the adapter where model.lora says nothing; 32 if absent"),
  profile: z
    .enum(PROFILE_NAMES as [string, ...string[]])
    .optional()
    .describe("which server it is; found out if absent"),
  patienceSeconds: z
    .number()
    .positive()
    .default(300)
    .describe("how long a request is sent again while the server does not answer"),
};

/** The whole of them. */
export const tinkerSpecSchema = z.object(tinkerShape);
export type TinkerSpec = z.output<typeof tinkerSpecSchema>;
