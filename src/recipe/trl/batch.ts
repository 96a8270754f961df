/**
 * The batch arithmetic: from TRL's five numbers to prompts and completions per optimizer step, and to Aha's iteration.
 *
 *     micro-batch        per_device_train_batch_size × num_processes      prompts in TRL 0.14, completions since
 *     optimizer step     micro-batch × gradient_accumulation_steps
 *     generation batch   micro-batch × steps_per_generation               sampled at once (GRPOConfig.__post_init__)
 *
 * A generation batch is trained on num_iterations times (μ). Aha's iteration is one generation batch, or one optimizer
 * step where that is larger; what has to divide, and does not, is refused by name.
 *
 * Departure: where several optimizer steps share a generation batch, TRL deals its completions out one by one, Aha in
 * whole groups, so a step has to be a whole number of groups.
 */

import { ConfigError } from "../../errors.ts";
import type { TrlReading } from "./version.ts";

export interface BatchNumbers {
  /** per_device_train_batch_size. */
  readonly perDevice: number;
  readonly numProcesses: number;
  /** gradient_accumulation_steps. */
  readonly accumulation: number;
  /** num_generations. */
  readonly groupSize: number;
  /** num_iterations. */
  readonly passes: number;
  /** steps_per_generation; undefined: as many as accumulation steps. */
  readonly stepsPerGeneration: number | undefined;
  /** generation_batch_size, in completions; excludes `stepsPerGeneration`. */
  readonly generationBatchSize: number | undefined;
}

export interface Batch {
  readonly promptsPerStep: number;
  readonly completionsPerStep: number;
  readonly promptsPerIteration: number;
  /** Optimizer steps of one pass over an iteration's completions. */
  readonly minibatchesPerIteration: number;
  readonly updatesPerIteration: number;
  /** Optimizer steps of an iteration: passes × minibatches. */
  readonly stepsPerIteration: number;
}

/** @throws ConfigError naming the numbers that do not divide */
export function batchOf(numbers: BatchNumbers, counts: TrlReading["batchCounts"]): Batch {
  const { perDevice, numProcesses, accumulation, groupSize, passes } = numbers;
  const perSample = counts === "prompts" ? groupSize : 1;
  const microBatch = perDevice * numProcesses * perSample;
  const completionsPerStep = microBatch * accumulation;
  if (groupSize < 2) {
    throw new ConfigError(
      `num_generations is ${groupSize}; a completion is judged against the others of its prompt, so it is at least 2.`,
    );
  }
  const generation = stepsPerGeneration(numbers, microBatch, counts);
  const factors = `per_device_train_batch_size (${perDevice}) × num_processes (${numProcesses})`;
  requireDivides(
    `num_generations (${groupSize})`,
    groupSize,
    `the completions of an optimizer step, ${factors} × gradient_accumulation_steps (${accumulation}) = ${completionsPerStep}`,
    completionsPerStep,
  );
  requireDivides(
    `num_generations (${groupSize})`,
    groupSize,
    `the completions that are sampled at once, ${factors} × steps_per_generation (${generation}) = ${microBatch * generation}`,
    microBatch * generation,
  );
  const minibatches = minibatchesPerIteration(generation, accumulation, passes);
  const promptsPerStep = completionsPerStep / groupSize;
  return {
    promptsPerStep,
    completionsPerStep,
    promptsPerIteration: promptsPerStep * minibatches,
    minibatchesPerIteration: minibatches,
    updatesPerIteration: passes,
    stepsPerIteration: minibatches * passes,
  };
}

/** Micro-batches that are sampled at once. */
function stepsPerGeneration(
  { accumulation, stepsPerGeneration: steps, generationBatchSize: size }: BatchNumbers,
  microBatch: number,
  counts: TrlReading["batchCounts"],
): number {
  if (steps === undefined && size === undefined) return accumulation;
  if (counts === "prompts") {
    const key = steps === undefined ? "generation_batch_size" : "steps_per_generation";
    throw new ConfigError(`${key} is younger than TRL 0.14, as which the file is read; add --trl-version 1.16.`);
  }
  if (steps !== undefined && size !== undefined) {
    throw new ConfigError(
      `steps_per_generation (${steps}) and generation_batch_size (${size}) say the same thing; give one.`,
    );
  }
  if (steps !== undefined) return steps;
  requireDivides(
    `per_device_train_batch_size × num_processes (${microBatch})`,
    microBatch,
    `generation_batch_size (${size})`,
    size!,
  );
  return size! / microBatch;
}

function minibatchesPerIteration(generation: number, accumulation: number, passes: number): number {
  if (generation >= accumulation) {
    requireDivides(
      `gradient_accumulation_steps (${accumulation})`,
      accumulation,
      `steps_per_generation (${generation})`,
      generation,
    );
    return generation / accumulation;
  }
  requireDivides(
    `steps_per_generation (${generation})`,
    generation,
    `gradient_accumulation_steps (${accumulation})`,
    accumulation,
  );
  if (passes === 1) return 1;
  throw new ConfigError(
    `num_iterations (${passes}) with steps_per_generation (${generation}) below gradient_accumulation_steps ` +
      `(${accumulation}) takes the same completions several times into one optimizer step; make steps_per_generation at ` +
      "least as large.",
  );
}

function requireDivides(what: string, divisor: number, whole: string, dividend: number): void {
  if (dividend % divisor === 0) return;
  throw new ConfigError(`The batch does not work out: ${what} does not divide ${whole}.`);
}

/** Whether TRL itself runs the batch in this reading: from 0.15 to 0.17 a micro-batch of all processes held whole groups. */
export function runsInTrl(numbers: BatchNumbers, { batchCounts, wholeGroups }: TrlReading): boolean {
  const { perDevice, numProcesses, groupSize } = numbers;
  if (wholeGroups && (perDevice * numProcesses) % groupSize !== 0) return false;
  try {
    batchOf(numbers, batchCounts);
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}
