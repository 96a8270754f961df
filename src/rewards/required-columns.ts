/**
 * Refuses, before anything is judged, rewards that read columns which the task's problems do not have: they would abstain
 * from every completion.
 */

import { ConfigError } from "../errors.ts";
import { rewardAnyColumn, rewardColumns } from "./registry.ts";
import type { RewardSpec } from "./spec.ts";
import { isRewardReference } from "./user/reference.ts";

/** The training problems of a task, as far as rewards read them. */
export interface ProblemSource {
  readonly name: string;
  readonly trainCount: number;
  trainProblem(index: number): JudgedProblem;
}

interface JudgedProblem {
  readonly columns: Readonly<Record<string, unknown>>;
  readonly place?: string;
}

/** How many problems are looked at for one of a task. */
const PROBED_PROBLEMS = 2000;

/**
 * Refuses rewards that the task's problems have no columns for.
 *
 * @throws ConfigError naming the reward and the columns that there are.
 */
export function requireRewardColumns(specs: readonly RewardSpec[], task: ProblemSource): void {
  for (const { name, options, tasks } of specs) {
    const { columns, place } = problemFor(task, tasks, name);
    const there = Object.keys(columns);
    const needed = isRewardReference(name) ? [] : rewardColumns(name, options);
    const missing = needed.filter((column) => !there.includes(column));
    if (missing.length === 0) continue;
    throw new ConfigError(
      `The reward ${name} reads the column${missing.length > 1 ? "s" : ""} ${missing.join(", ")}, which problems of the ` +
        `task ${task.name} do not have${place === undefined ? "" : ` (${place})`}; they have: ${there.join(", ")}. ` +
        "Map columns to these names (task.data.columns), or use another reward.",
    );
  }
  for (const { name, options } of specs) requireAnyColumn(name, options, task);
}

/** For a reward that takes its gold from one of several columns: some problem has to have one. */
function requireAnyColumn(name: string, options: unknown, task: ProblemSource): void {
  const wanted = isRewardReference(name) ? [] : rewardAnyColumn(name, options);
  if (wanted.length === 0) return;
  const probed = Math.min(PROBED_PROBLEMS, task.trainCount);
  for (let index = 0; index < probed; index++) {
    const { columns } = task.trainProblem(index);
    if (wanted.some((column) => columns[column] !== undefined && columns[column] !== null)) return;
  }
  throw new ConfigError(
    `The reward ${name} reads one of the columns ${wanted.join(", ")}, of which problems of the task ${task.name} have ` +
      `none; they have: ${Object.keys(task.trainProblem(0).columns).join(", ")}. ` +
      "Map a column to one of these names (task.data.columns), or name the column with the gold answer in the reward's options (gold).",
  );
}

/** The first problem that the reward judges. */
function problemFor(task: ProblemSource, tasks: readonly string[] | undefined, reward: string): JudgedProblem {
  if (tasks === undefined) return task.trainProblem(0);
  const seen = new Set<string>();
  for (let index = 0; index < Math.min(PROBED_PROBLEMS, task.trainCount); index++) {
    const problem = task.trainProblem(index);
    const name = String(problem.columns.task ?? task.name);
    if (tasks.includes(name)) return problem;
    seen.add(name);
  }
  throw new ConfigError(
    `The reward ${reward} is for the tasks ${tasks.join(", ")}, but problems are of ${[...seen].join(", ")}. ` +
      "Name one of these under rewards[].tasks, or leave it out.",
  );
}
