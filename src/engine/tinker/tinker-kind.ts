/** The engine on a Tinker server as the registry of engines lists it: its keys, and how it opens a model there. */

import { ConfigError } from "../../errors.ts";
import type { EngineKind, PolicySource } from "../engine-kind.ts";
import { profileNamed } from "./profile.ts";
import { tinkerShape, tinkerSpecSchema } from "./tinker-spec.ts";

/** The engine on a server that speaks the Tinker protocol. */
export const tinkerEngine: EngineKind = {
  name: "tinker",
  summary: "a server that speaks the Tinker protocol: adapters are trained and sampled there",
  shape: tinkerShape,
  hasWeightsElsewhere: true,
  lacksWeightFiles: (spec) => {
    const { profile } = tinkerSpecSchema.parse(spec);
    return profile !== undefined && profileNamed(profile).adapters === "none";
  },
  keysWithoutEffect: ["url", "patienceSeconds"],
  openPolicy: async (spec, source, compute) => {
    requireSource(source);
    const { openTinkerPolicy } = await import("./open-tinker.ts");
    const folderAt = (path: string) => compute.folderAt(path);
    return openTinkerPolicy(tinkerSpecSchema.parse(spec), source, folderAt, { probes: true });
  },
  look: async (spec, source, compute) => {
    requireSource(source);
    const { lookAtTinker } = await import("./look-at-tinker.ts");
    return lookAtTinker(tinkerSpecSchema.parse(spec), source, (path) => compute.folderAt(path));
  },
  openSampler: async (spec, source, compute) => {
    const { openTinkerSampler } = await import("./open-tinker.ts");
    return openTinkerSampler(tinkerSpecSchema.parse(spec), source, (path) => compute.folderAt(path));
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
