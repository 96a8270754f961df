/**
 * Checkpoints and evaluations on the way: transformers' strategies and steps to a stage's own units. Where these are
 * iterations, Aha makes both between them, so a distance in optimizer steps is rounded up to whole ones.
 */

import { ConfigError } from "../../errors.ts";
import type { TrlDraft } from "./conversion.ts";
import type { ConvertedLength } from "./length.ts";
import { shown } from "./settings.ts";

/** "All", where the number is not known. */
const ALL_CHECKPOINTS = 1000;

interface DistanceKeys {
  readonly strategy: string;
  readonly steps: string;
  /** TRL's defaults. */
  readonly fallback: { readonly strategy: "no" | "steps"; readonly steps: number | undefined };
  readonly path: string;
}

/**
 * Sets checkpointEvery, keepCheckpoints, and what `evaluationKey` names of the stage. Throws ConfigError for a strategy
 * that there is not.
 */
export function setDistances(
  draft: TrlDraft,
  length: ConvertedLength,
  evaluationKey: "evaluateEvery" | "evalLossEvery" = "evaluateEvery",
): void {
  const { settings } = draft;
  const every = setDistance(draft, length, {
    strategy: "save_strategy",
    steps: "save_steps",
    fallback: { strategy: "steps", steps: 500 },
    path: draft.at("checkpointEvery"),
  });
  const all =
    every === 0 ? 1 : length.units === undefined ? ALL_CHECKPOINTS : Math.max(1, Math.ceil(length.units / every));
  const limit = settings.number("save_total_limit");
  const note = limit === undefined ? "TRL keeps all" : "";
  draft.becomes("save_total_limit", "keepCheckpoints", limit ?? all, { note });

  // transformers 4.41 shortened the name.
  const strategy = settings.has("evaluation_strategy") ? "evaluation_strategy" : "eval_strategy";
  if (strategy === "evaluation_strategy") draft.hasNoEffect("eval_strategy", "evaluation_strategy is its old name");
  const evaluation = { strategy, steps: "eval_steps", path: draft.at(evaluationKey) };
  setDistance(draft, length, { ...evaluation, fallback: { strategy: "no", steps: undefined } });
}

/** Whether the file asks for evaluations, for which TRL's scripts take the test split. */
export function evaluates({ settings }: TrlDraft): boolean {
  const strategy = settings.text("evaluation_strategy") ?? settings.text("eval_strategy") ?? "no";
  return !NEVER.includes(strategy);
}

/** `save_strategy: no` without quotes is false to PyYAML. */
const NEVER = ["no", "false"];

/** Returns the distance in the stage's units; 0 is never. */
function setDistance(draft: TrlDraft, length: ConvertedLength, keys: DistanceKeys): number {
  const { settings } = draft;
  const { strategy: key, path } = keys;
  const strategy = settings.text(key) ?? keys.fallback.strategy;
  if (NEVER.includes(strategy)) {
    draft.becomes(key, path, 0, { fallback: "no", note: "never on the way" });
    draft.hasNoEffect(keys.steps, `${key} is no`);
    return 0;
  }
  switch (strategy) {
    case "epoch": {
      draft.hasNoEffect(keys.steps, `${key} is epoch`);
      if (length.perEpoch === Number.POSITIVE_INFINITY) {
        throw new ConfigError(`${key}: epoch needs data that end, and generated problems do not; take steps.`);
      }
      if (length.perEpoch === undefined) {
        draft.becomes(key, path, 0, { note: "at the end alone: the steps of an epoch are not known beforehand" });
        return 0;
      }
      draft.becomes(key, path, length.perEpoch, { note: "the length of an epoch" });
      return length.perEpoch;
    }
    case "steps": {
      const given = settings.number(keys.steps) ?? keys.fallback.steps;
      if (given === undefined) {
        throw new ConfigError(`${key} is steps, and ${keys.steps} does not say how many; give it.`);
      }
      draft.hasNoEffect(key, `as ${keys.steps} says`);
      if (given < 1 && length.steps === undefined) {
        draft.becomes(keys.steps, path, 0, { note: "at the end alone: the run's steps are not known beforehand" });
        return 0;
      }
      // Below 1 it is a share of the run.
      const steps = given < 1 ? Math.ceil(given * length.steps!) : given;
      const every = Math.ceil(steps / length.stepsPerUnit);
      draft.becomes(keys.steps, path, every, { fallback: keys.fallback.steps });
      return every;
    }
    default:
      throw new ConfigError(`${key}: ${shown(strategy)} is not supported; there are no, steps and epoch.`);
  }
}
