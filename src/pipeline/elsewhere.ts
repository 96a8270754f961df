/**
 * Stages on an engine that has its models elsewhere, such as a Tinker server. It has its own bases and not what other stages
 * make; what is trained there comes back as an adapter, which is folded into the base here.
 */

import type { EngineSpec } from "../engine/engine-kind.ts";
import { readsWeights } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import type { Reference } from "./references.ts";

/** What is asked of a stage here. */
interface StageElsewhere {
  readonly name: string;
  readonly source: string;
  readonly references: readonly Reference[];
  /** It trains, and makes no adapter that its configuration names. */
  readonly trainsWhole: boolean;
  /** Undefined: this process. */
  readonly engine: EngineSpec | undefined;
}

/** Refuses a stage that asks such an engine for another stage's model, or that would not make one. Throws ConfigError. */
export function requirePossibleElsewhere({ name, source, references, trainsWhole, engine }: StageElsewhere): void {
  if (engine === undefined || readsWeights(engine)) return;
  const other = references.find(({ path }) => path[0] === "model");
  if (other !== undefined) {
    throw new ConfigError(
      `${source}, stage ${name}: the engine ${engine.kind} has models of its own, and not the one that the stage ${other.from} makes. ` +
        "Name its base (model.path), put both into the stages of one recipe, or compute this stage here (engine.kind local).",
    );
  }
  if (!trainsWhole) return;
  throw new ConfigError(
    `${source}, stage ${name}: the engine ${engine.kind} makes an adapter, which a pipeline folds into its base here: say its form ` +
      "(model.lora).",
  );
}
