/** The engine on a Tinker server as the registry of engines lists it: its keys, and how it opens a model there. */

import { ConfigError } from "../../errors.ts";
import type { EngineKind, PolicySource } from "../engine-kind.ts";
import { tinkerShape, tinkerSpecSchema } from "./tinker-spec.ts";

/** The engine on a server that speaks the Tinker protocol. */
export const tinkerEngine: EngineKind = {
  name: "tinker",
  summary: "a server that speaks the Tinker protocol: adapters are trained and sampled there",
  shape: tinkerShape,
  openPolicy: async (spec, source, compute) => {
    requireSource(source);
    const { openTinkerPolicy } = await import("./open-tinker.ts");
    return openTinkerPolicy(tinkerSpecSchema.parse(spec), source, (path) => compute.folderAt(path));
  },
};

/** Throws ConfigError for a model that cannot be had there. */
function requireSource({ quantization, adapter }: PolicySource): void {
  if (quantization !== undefined) {
    throw new ConfigError("model.quantization is the server's matter under engine.kind tinker: leave the key out.");
  }
  if (adapter !== undefined) {
    throw new ConfigError("engine.kind tinker trains adapters that begin on the server: leave model.adapter out.");
  }
}
