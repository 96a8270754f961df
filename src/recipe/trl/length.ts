/**
 * How long a TRL recipe trains, and by which learning rate: max_steps or epochs to iterations or steps, the schedule of
 * transformers to Aha's.
 *
 *     steps of an epoch    ⌈rows / rows of a step⌉, the last, smaller step included (Trainer.set_initial_training_values)
 *     GRPO                 whole generation batches only, since TRL 0.15
 *     steps of the run     max_steps, or ⌈num_train_epochs · steps of an epoch⌉
 *
 * Departure: Aha's warm-up begins at peak / warmupSteps, transformers' at 0. Nothing else about the schedules differs.
 */

import { ConfigError } from "../../errors.ts";
import type { Batch } from "./batch.ts";
import type { TrlDraft } from "./conversion.ts";
import { shown } from "./settings.ts";
import type { TrlReading } from "./version.ts";

/** How long the stage is, in its own units: iterations where the policy samples, optimizer steps otherwise. */
export interface ConvertedLength {
  /** undefined: known when the data are there, or packed. */
  readonly units: number | undefined;
  /** Units of one pass over the training rows; Infinity where they have no end, undefined as above. */
  readonly perEpoch: number | undefined;
  readonly stepsPerUnit: number;
  /** Optimizer steps. */
  readonly steps: number | undefined;
}

/** transformers' default for num_train_epochs. */
const EPOCHS = 3;

/** Rows to train on: how many, without end, or not to be known here. */
export type TrainCount = number | undefined;

/**
 * Iterations of a stage that samples, by max_steps, or by epochs over `trainCount` problems.
 *
 * @throws ConfigError where steps are not whole iterations, or there is nothing to count epochs of
 */
export function setIterations(
  draft: TrlDraft,
  batch: Pick<Batch, "stepsPerIteration" | "promptsPerIteration" | "updatesPerIteration" | "minibatchesPerIteration">,
  { batchCounts }: Pick<TrlReading, "batchCounts">,
  trainCount: TrainCount,
): ConvertedLength {
  const { settings } = draft;
  const { stepsPerIteration: stepsPerUnit, promptsPerIteration } = batch;
  const path = draft.at("iterations");
  // TRL 0.14 trains on the last, smaller batch of an epoch too; later ones draw whole generation batches.
  const round = batchCounts === "prompts" ? Math.ceil : Math.floor;
  const perEpoch = trainCount === undefined ? undefined : Math.max(1, round(trainCount / promptsPerIteration));
  const maxSteps = maxStepsOf(draft);
  if (maxSteps !== undefined) {
    if (maxSteps % stepsPerUnit !== 0) {
      throw new ConfigError(
        `max_steps (${maxSteps}) is not a whole number of iterations: each takes ${stepsPerUnit} optimizer steps ` +
          `(num_iterations ${batch.updatesPerIteration} × ${batch.minibatchesPerIteration} of each generation batch).`,
      );
    }
    draft.becomes("max_steps", path, maxSteps / stepsPerUnit);
    return { units: maxSteps / stepsPerUnit, perEpoch, stepsPerUnit, steps: maxSteps };
  }
  if (trainCount === Number.POSITIVE_INFINITY) {
    throw new ConfigError(
      "Without max_steps the length is num_train_epochs over the data, and generated problems have no end. Give " +
        "max_steps (--set max_steps=450), or a file of problems with --data.",
    );
  }
  const epochs = settings.number("num_train_epochs") ?? EPOCHS;
  if (perEpoch === undefined) {
    const note = `so many passes over the data, ${promptsPerIteration} problems an iteration`;
    draft.isOpen("num_train_epochs", path, 1, { fallback: EPOCHS, note });
    return { units: undefined, perEpoch, stepsPerUnit, steps: undefined };
  }
  const iterations = Math.ceil(epochs * perEpoch);
  const note = `${trainCount} problems to train on, ${promptsPerIteration} an iteration`;
  draft.becomes("num_train_epochs", path, iterations, { fallback: EPOCHS, note });
  return { units: iterations, perEpoch, stepsPerUnit, steps: iterations * stepsPerUnit };
}

/**
 * Steps of a stage that goes through rows, `rowsPerStep` at a time: max_steps, or passes over the data. `trainCount` is
 * undefined where the rows are not here, or a step's rows are not known because they are packed.
 */
export function setSteps(
  draft: TrlDraft,
  { rowsPerStep, trainCount }: { readonly rowsPerStep: number; readonly trainCount: TrainCount },
): ConvertedLength & { readonly epochs: number | undefined } {
  const perEpoch = trainCount === undefined ? undefined : Math.ceil(trainCount / rowsPerStep);
  const maxSteps = maxStepsOf(draft);
  if (maxSteps !== undefined) {
    draft.becomes("max_steps", draft.at("steps"), maxSteps);
    return { units: maxSteps, perEpoch, stepsPerUnit: 1, steps: maxSteps, epochs: undefined };
  }
  const epochs = draft.settings.number("num_train_epochs") ?? EPOCHS;
  const steps = perEpoch === undefined ? undefined : Math.ceil(epochs * perEpoch);
  // Of a part of an epoch transformers takes whole steps.
  if (steps !== undefined && !Number.isInteger(epochs)) {
    const note = `${trainCount} rows to train on, ${rowsPerStep} a step`;
    draft.becomes("num_train_epochs", draft.at("steps"), steps, { fallback: EPOCHS, note });
  } else {
    const note = perEpoch === undefined ? "" : `${trainCount} rows to train on, ${perEpoch} steps in each`;
    draft.becomes("num_train_epochs", draft.at("epochs"), epochs, { fallback: EPOCHS, note });
  }
  return { units: steps, perEpoch, stepsPerUnit: 1, steps, epochs };
}

/** max_steps where it decides, which is said of num_train_epochs otherwise. */
function maxStepsOf(draft: TrlDraft): number | undefined {
  const maxSteps = draft.settings.number("max_steps") ?? -1;
  if (maxSteps > 0) {
    draft.hasNoEffect("num_train_epochs", "max_steps is given");
    return maxSteps;
  }
  draft.hasNoEffect("max_steps", "num_train_epochs decides");
  return undefined;
}

/** Learning rate, schedule and warm-up. Throws ConfigError for a schedule that there is not. */
export function setSchedule(draft: TrlDraft, { steps }: ConvertedLength, { defaults }: TrlReading): void {
  const { settings } = draft;
  const fallback = defaults.learning_rate;
  const peak = settings.number("learning_rate") ?? fallback;
  draft.becomes("learning_rate", draft.at("learningRate"), peak, { fallback });
  const name = settings.text("lr_scheduler_type") ?? "linear";
  const known = SCHEDULES.get(name);
  if (known === undefined) {
    throw new ConfigError(
      `lr_scheduler_type: ${shown(name)} is not supported. There are ${[...SCHEDULES.keys()].join(", ")}.`,
    );
  }
  draft.becomes("lr_scheduler_type", draft.at("schedule"), known.schedule, { fallback: "linear" });
  setFloor(draft, name, peak);
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
      `lr_scheduler_kwargs: ${shown(given)} is not supported: ${schedule} takes none here. Leave it out.`,
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
  draft.becomes("lr_scheduler_kwargs", draft.at("minLearningRateRatio"), floor);
}

/** warmup_steps, which transformers 5 also takes a share in, goes before warmup_ratio. */
function setWarmup(draft: TrlDraft, totalSteps: number | undefined): void {
  const { settings } = draft;
  const steps = settings.number("warmup_steps") ?? 0;
  const ratio = settings.number("warmup_ratio") ?? 0;
  if (steps > 0) {
    setShareOrSteps(draft, "warmup_steps", steps, totalSteps);
    draft.hasNoEffect("warmup_ratio", "warmup_steps goes before it");
    return;
  }
  if (ratio > 0) setShareOrSteps(draft, "warmup_ratio", ratio, totalSteps, true);
  else draft.becomes("warmup_ratio", draft.at("warmupSteps"), 0, { fallback: 0 });
  draft.hasNoEffect("warmup_steps", "0 leaves it to warmup_ratio");
}

/** The warm-up in steps, where a share of them can be counted. */
function setShareOrSteps(
  draft: TrlDraft,
  key: string,
  value: number,
  totalSteps: number | undefined,
  isShare = value < 1,
): void {
  if (isShare && totalSteps === undefined) {
    draft.becomes(key, draft.at("warmupRatio"), value);
    return;
  }
  const warmup = isShare ? Math.ceil(value * totalSteps!) : value;
  if (!Number.isInteger(warmup) || (totalSteps !== undefined && warmup > totalSteps)) {
    throw new ConfigError(
      `warmup_steps: expected a whole number of at most the run's ${totalSteps ?? "…"} optimizer steps, or a share below 1; ` +
        `got ${value}.`,
    );
  }
  const note = totalSteps === undefined ? {} : { note: `of ${totalSteps} optimizer steps` };
  draft.becomes(key, draft.at("warmupSteps"), warmup, note);
}
