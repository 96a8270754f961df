/**
 * How long a TRL recipe trains, and by which learning rate: max_steps or epochs to iterations, the schedule of
 * transformers to Aha's.
 *
 * Departure: Aha's warm-up begins at peak / warmupSteps, transformers' at 0. Nothing else about the schedules differs.
 */

import { ConfigError } from "../../errors.ts";
import type { Batch } from "./batch.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import { shown } from "./settings.ts";
import type { TrlReading } from "./version.ts";

/** How long the stage is. */
export interface StageLength {
  readonly iterations: number;
  /** Iterations of one pass over the training problems; Infinity where they have no end. */
  readonly perEpoch: number;
  /** Optimizer steps. */
  readonly steps: number;
}

/** transformers' default for num_train_epochs. */
const EPOCHS = 3;

/**
 * Iterations by max_steps, or by epochs over `trainCount` problems.
 *
 * @throws ConfigError where steps are not whole iterations, or there is nothing to count epochs of
 */
export function setLength(draft: TrlDraft, batch: Batch, reading: TrlReading, trainCount: number): StageLength {
  const { settings } = draft;
  const { stepsPerIteration, promptsPerIteration } = batch;
  const path = `stages.${STAGE}.iterations`;
  // TRL 0.14 trains on the last, smaller batch of an epoch too; later ones draw whole generation batches.
  const round = reading.batchCounts === "prompts" ? Math.ceil : Math.floor;
  const perEpoch = Math.max(1, round(trainCount / promptsPerIteration));
  const maxSteps = settings.number("max_steps") ?? -1;
  if (maxSteps > 0) {
    if (maxSteps % stepsPerIteration !== 0) {
      throw new ConfigError(
        `max_steps (${maxSteps}) is not a whole number of iterations: each takes ${stepsPerIteration} optimizer steps ` +
          `(num_iterations ${batch.updatesPerIteration} × ${batch.minibatchesPerIteration} of each generation batch).`,
      );
    }
    draft.becomes("max_steps", path, maxSteps / stepsPerIteration);
    draft.hasNoEffect("num_train_epochs", "max_steps is given");
    return { iterations: maxSteps / stepsPerIteration, perEpoch, steps: maxSteps };
  }
  if (!Number.isFinite(trainCount)) {
    throw new ConfigError(
      "Without max_steps the length is num_train_epochs over the data, and generated problems have no end. Give " +
        "max_steps (--set max_steps=450), or a file of problems with --data.",
    );
  }
  const iterations = Math.ceil((settings.number("num_train_epochs") ?? EPOCHS) * perEpoch);
  const note = `${trainCount} problems to train on, ${promptsPerIteration} an iteration`;
  draft.becomes("num_train_epochs", path, iterations, { fallback: EPOCHS, note });
  draft.hasNoEffect("max_steps", "num_train_epochs decides");
  return { iterations, perEpoch, steps: iterations * stepsPerIteration };
}

/** Learning rate, schedule and warm-up. Throws ConfigError for a schedule that there is not. */
export function setSchedule(draft: TrlDraft, { steps }: StageLength): void {
  const { settings } = draft;
  const at = (key: string) => `stages.${STAGE}.${key}`;
  draft.becomes("learning_rate", at("learningRate"), settings.number("learning_rate") ?? 1e-6, { fallback: 1e-6 });
  const name = settings.text("lr_scheduler_type") ?? "linear";
  const known = SCHEDULES.get(name);
  if (known === undefined) {
    throw new ConfigError(
      `lr_scheduler_type: ${shown(name)} cannot be done. There are ${[...SCHEDULES.keys()].join(", ")}.`,
    );
  }
  draft.becomes("lr_scheduler_type", at("schedule"), known.schedule, { fallback: "linear" });
  setFloor(draft, name, settings.number("learning_rate") ?? 1e-6);
  if (known.warmsUp) setWarmup(draft, steps);
  else for (const key of ["warmup_ratio", "warmup_steps"]) draft.hasNoEffect(key, `${name} has no warm-up`);
}

/** transformers' names of schedules, those that Aha has. */
const SCHEDULES: ReadonlyMap<string, { readonly schedule: string; readonly warmsUp: boolean }> = new Map([
  ["cosine", { schedule: "cosine", warmsUp: true }],
  ["cosine_with_min_lr", { schedule: "cosine", warmsUp: true }],
  ["linear", { schedule: "linear", warmsUp: true }],
  // transformers leaves the warm-up out unless the name asks for it.
  ["constant", { schedule: "constant", warmsUp: false }],
  ["constant_with_warmup", { schedule: "constant", warmsUp: true }],
]);

/** `lr_scheduler_kwargs`: the floor of cosine_with_min_lr. */
function setFloor(draft: TrlDraft, schedule: string, peak: number): void {
  const given = draft.settings.mapping("lr_scheduler_kwargs") ?? {};
  const names = Object.keys(given);
  if (schedule !== "cosine_with_min_lr") {
    draft.hasNoEffect("lr_scheduler_kwargs", "it is empty");
    if (names.length === 0) return;
    throw new ConfigError(
      `lr_scheduler_kwargs: ${shown(given)} cannot be done: ${schedule} takes none here. Leave it out.`,
    );
  }
  const { min_lr: least, min_lr_rate: share } = given;
  const floor = typeof share === "number" ? share : typeof least === "number" ? least / peak : undefined;
  if (names.length !== 1 || floor === undefined || floor < 0 || floor > 1) {
    throw new ConfigError(
      `lr_scheduler_kwargs: cosine_with_min_lr needs either min_lr, from 0 to learning_rate, or min_lr_rate, from 0 ` +
        `to 1; got ${shown(given)}.`,
    );
  }
  draft.becomes("lr_scheduler_kwargs", `stages.${STAGE}.minLearningRateRatio`, floor);
}

/** warmup_steps, which transformers 5 also takes a share in, goes before warmup_ratio. */
function setWarmup(draft: TrlDraft, totalSteps: number): void {
  const { settings } = draft;
  const path = `stages.${STAGE}.warmupSteps`;
  const steps = settings.number("warmup_steps") ?? 0;
  const ratio = settings.number("warmup_ratio") ?? 0;
  const note = `of ${totalSteps} optimizer steps`;
  if (steps > 0) {
    const warmup = steps < 1 ? Math.ceil(steps * totalSteps) : steps;
    if (!Number.isInteger(warmup) || warmup > totalSteps) {
      throw new ConfigError(
        `warmup_steps: expected a whole number of at most the run's ${totalSteps} optimizer steps, or a share below 1; ` +
          `got ${steps}.`,
      );
    }
    draft.becomes("warmup_steps", path, warmup, { note });
    draft.hasNoEffect("warmup_ratio", "warmup_steps goes before it");
    return;
  }
  draft.becomes("warmup_ratio", path, Math.ceil(ratio * totalSteps), { fallback: 0, ...(ratio > 0 ? { note } : {}) });
  draft.hasNoEffect("warmup_steps", "0 leaves it to warmup_ratio");
}
