/**
 * Checkpoints and evaluations on the way: transformers' strategies and steps to iterations. Aha makes both between
 * iterations, so a distance in optimizer steps is rounded up to whole ones.
 */

import { ConfigError } from "../../errors.ts";
import type { Batch } from "./batch.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import type { StageLength } from "./length.ts";
import { shown } from "./settings.ts";

interface DistanceKeys {
  readonly strategy: string;
  readonly steps: string;
  /** TRL's defaults. */
  readonly fallback: { readonly strategy: "no" | "steps"; readonly steps: number | undefined };
  readonly path: string;
}

/** Sets checkpointEvery, keepCheckpoints and evaluateEvery. Throws ConfigError for a strategy that there is not. */
export function setDistances(draft: TrlDraft, length: StageLength, batch: Batch): void {
  const { settings } = draft;
  const every = setDistance(draft, length, batch, {
    strategy: "save_strategy",
    steps: "save_steps",
    fallback: { strategy: "steps", steps: 500 },
    path: `stages.${STAGE}.checkpointEvery`,
  });
  const all = every === 0 ? 1 : Math.ceil(length.iterations / every);
  const limit = settings.number("save_total_limit");
  const note = limit === undefined ? "TRL keeps all" : "";
  draft.becomes("save_total_limit", "keepCheckpoints", limit ?? all, { note });

  // transformers 4.41 shortened the name.
  const strategy = settings.has("evaluation_strategy") ? "evaluation_strategy" : "eval_strategy";
  if (strategy === "evaluation_strategy") draft.hasNoEffect("eval_strategy", "evaluation_strategy is its old name");
  const evaluation = { strategy, steps: "eval_steps", path: `stages.${STAGE}.evaluateEvery` };
  setDistance(draft, length, batch, { ...evaluation, fallback: { strategy: "no", steps: undefined } });
}

/** Returns the distance in iterations; 0 is never. */
function setDistance(draft: TrlDraft, length: StageLength, batch: Batch, keys: DistanceKeys): number {
  const { settings } = draft;
  const strategy = settings.text(keys.strategy) ?? keys.fallback.strategy;
  switch (strategy) {
    // `save_strategy: no` without quotes is false to PyYAML.
    case "no":
    case "false":
      draft.becomes(keys.strategy, keys.path, 0, { fallback: "no", note: "never on the way" });
      draft.hasNoEffect(keys.steps, `${keys.strategy} is no`);
      return 0;
    case "epoch": {
      if (!Number.isFinite(length.perEpoch)) {
        throw new ConfigError(
          `${keys.strategy}: epoch needs data that end, and generated problems do not; take steps.`,
        );
      }
      draft.becomes(keys.strategy, keys.path, length.perEpoch, { note: "iterations of an epoch" });
      draft.hasNoEffect(keys.steps, `${keys.strategy} is epoch`);
      return length.perEpoch;
    }
    case "steps": {
      const given = settings.number(keys.steps) ?? keys.fallback.steps;
      if (given === undefined) {
        throw new ConfigError(`${keys.strategy} is steps, and ${keys.steps} does not say how many; give it.`);
      }
      // Below 1 it is a share of the run.
      const steps = given < 1 ? Math.ceil(given * length.steps) : given;
      const every = Math.ceil(steps / batch.stepsPerIteration);
      draft.becomes(keys.steps, keys.path, every, { fallback: keys.fallback.steps });
      draft.hasNoEffect(keys.strategy, `as ${keys.steps} says`);
      return every;
    }
    default:
      throw new ConfigError(`${keys.strategy}: ${shown(strategy)} cannot be done; there are no, steps and epoch.`);
  }
}
