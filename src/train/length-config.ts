/** How long a stage over given data is: so many optimizer steps, or so many passes over a data set. */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import type { Task } from "../tasks/task.ts";
import type { ConfigIssue } from "./config-issue.ts";
import { type OptimizerConfig, optimizerIssues } from "./optimizer-config.ts";

/** Keys of a trainer that goes through data; exactly one of them is given. */
export const lengthShape = {
  steps: z.int().min(1).optional().describe("optimizer steps; or give epochs"),
  epochs: z
    .number()
    .positive()
    .optional()
    .describe(
      "passes over the data set, or a part of one, each in a seeded order of its own; the last step takes what is left",
    ),
};

/** Problems of the length, and of the optimizer's keys against it where it is known from the recipe alone. */
export function lengthIssues(config: OptimizerConfig & StageLength): ConfigIssue[] {
  const { steps, epochs } = config;
  if ((steps === undefined) === (epochs === undefined)) {
    return [
      { path: ["steps"], message: "expected exactly one of steps (optimizer steps) and epochs (passes over the data)" },
    ];
  }
  return optimizerIssues(config, steps ?? Number.POSITIVE_INFINITY);
}

/** The keys above, as they were given. */
export interface StageLength {
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
}

/**
 * Where a stage over a task's problems ends: before problem number `end` of its endless stream; Infinity where it is as
 * long as its steps.
 *
 * @throws ConfigError for epochs of a task without end.
 */
export function endOfData({ epochs }: StageLength, task: Task): number {
  if (epochs === undefined) return Number.POSITIVE_INFINITY;
  if (Number.isFinite(task.trainCount)) return Math.ceil(epochs * task.trainCount);
  throw new ConfigError(
    `epochs are passes over a data set, but the task ${task.name} makes its problems without end. Give steps instead.`,
  );
}

/** Refuses a warm-up that is longer than the steps of the `epochs`. Throws ConfigError. */
export function requireWarmupFits(config: OptimizerConfig, totalSteps: number): void {
  const [issue] = optimizerIssues(config, totalSteps);
  if (issue) throw new ConfigError(`${issue.message}.`);
}
