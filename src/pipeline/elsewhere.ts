/**
 * Stages on an engine that has its models elsewhere, such as a Tinker server. It has its own bases and not what other stages
 * make; what is trained there comes back as an adapter, which is folded into the base here.
 */

import type { Capable } from "../engine/contract/capabilities.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { lacksWeightFiles, readsWeights } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { valueAt } from "../named-paths.ts";
import type { Reference } from "./references.ts";

/** What is asked of a stage here. */
interface StageElsewhere {
  readonly name: string;
  readonly source: string;
  readonly references: readonly Reference[];
  /** What it trains: an adapter that its configuration names, or anything else; undefined: it does not train. */
  readonly training: "adapter" | "whole" | undefined;
  /** Undefined: this process. */
  readonly engine: EngineSpec | undefined;
  /** All of its keys. */
  readonly config: unknown;
}

/**
 * Refuses a stage that asks such an engine for another stage's model, or that would not make one, as far as its configuration
 * says so. Throws ConfigError.
 */
export function requirePossibleElsewhere(stage: StageElsewhere): void {
  const { name, source, references, training, engine, config } = stage;
  const notThere = ({ from }: Reference, kind: string, advice: string) =>
    new ConfigError(
      `${source}, stage ${name}: the engine ${kind} has models of its own, and not the one that the stage ${from} makes. ${advice}`,
    );
  for (const reference of references) {
    // A model that names an engine of its own, as a teacher may.
    const { path, isMapping } = reference;
    const place = isMapping ? path : path.at(-1) === "path" ? path.slice(0, -1) : undefined;
    const kind = place && valueAt(config, [...place, "engine", "kind"]);
    if (place?.length === 0 || typeof kind !== "string" || readsWeights({ kind })) continue;
    throw notThere(reference, kind, "Name a model that is there, or compute it here (engine.kind local).");
  }
  if (engine === undefined || readsWeights(engine)) return;
  const other = references.find(({ path }) => path[0] === "model");
  if (other !== undefined) {
    throw notThere(
      other,
      engine.kind,
      "Name its base (model.path), put both into the stages of one recipe, or compute this stage here (engine.kind local).",
    );
  }
  if (training === "whole") {
    throw new ConfigError(
      `${source}, stage ${name}: the engine ${engine.kind} makes an adapter, which a pipeline folds into its base here: say its form ` +
        "(model.lora).",
    );
  }
  if (training === "adapter" && lacksWeightFiles(engine)) {
    throw new ConfigError(`${source}, stage ${name}: ${staysElsewhere(`the engine ${engine.kind} with this profile`)}`);
  }
}

/**
 * Refuses an open engine whose trained adapter would stay where it is: the stage would train to its end and could never make
 * its model. Throws ConfigError.
 */
export function requireWeightFiles({ info, capabilities }: Capable): void {
  if (!capabilities.weightFiles) throw new ConfigError(staysElsewhere(`the engine ${info.name}`));
}

const staysElsewhere = (engine: string) =>
  `${engine} does not give the adapter that it trains back, and a pipeline folds it into its base here. Take a server that gives ` +
  "adapters back (engine.profile; docs/scale-out.md), compute this stage here (engine.kind local), or train with aha run on a recipe.";
