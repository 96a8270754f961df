/** The engine on a Tinker server as the registry of engines lists it: its keys, and how it opens a model there. */

import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import type { EngineKind, EngineSpec, PolicySource } from "../engine-kind.ts";
import { PROFILE_NAMES } from "./profile.ts";

const shape = {
  url: z
    .url({ protocol: /^https?$/, error: "takes an address that begins with http:// or https://" })
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

const specSchema = z.object(shape);
export type TinkerSpec = z.output<typeof specSchema>;

/** The engine on a server that speaks the Tinker protocol. */
export const tinkerEngine: EngineKind = {
  name: "tinker",
  summary: "a server that speaks the Tinker protocol: adapters are trained and sampled there",
  shape,
  openPolicy: async (spec, source, compute) => {
    requireSource(source);
    const { openTinkerPolicy } = await import("./open-tinker.ts");
    return openTinkerPolicy(tinkerSpec(spec), source, (path) => compute.folderAt(path));
  },
};

function tinkerSpec(spec: EngineSpec): TinkerSpec {
  return specSchema.parse(spec);
}

/** Throws ConfigError for a model that cannot be had there. */
function requireSource({ quantization, adapter }: PolicySource): void {
  if (quantization !== undefined) {
    throw new ConfigError("model.quantization is the server's matter under engine.kind tinker: leave the key out.");
  }
  if (adapter !== undefined) {
    throw new ConfigError("engine.kind tinker trains adapters that begin on the server: leave model.adapter out.");
  }
}
