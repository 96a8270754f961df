/**
 * Several tasks as one: reinforcement learning on reasoning and general prompts together (DeepSeek-R1, arXiv:2501.12948,
 * §2.3.4), or demonstrations of both.
 *
 * Which task problem i belongs to is decided by weights, without chance: of each W = Σ weights problems in a row, a task
 * has as many as its weight, spread evenly. So shares are exact, and problem i is a pure function of i as the tasks' own
 * are. A problem is its task's, with one more column: `task`, the task's name here (its own, or `as`), by which a recipe can give rewards to some
 * tasks only (`rewards[].tasks`). Ids are the tasks' own, so two tasks may have one id.
 *
 * Verdicts have the statistics of the problem's task and, so that tasks can be told apart in an evaluation,
 * `NAME/solveRate` and `NAME/formatRate`.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { type NamedPath, pathsBelow, valueAt } from "../named-paths.ts";
import { sumOf } from "../statistics.ts";
import type { TaskDeps, TaskEntry, TaskSpec } from "./entry.ts";
import type { Problem, Task } from "./task.ts";

/** A task of a mixture, and how many of Σ weights problems it has. */
export interface MixturePart {
  readonly task: Task;
  /** A whole number, at least 1. */
  readonly weight: number;
}

/** @throws ConfigError where two tasks have one name: their problems could not be told apart. */
export function mixTasks(parts: readonly MixturePart[]): Task {
  const byName = new Map(parts.map(({ task }) => [task.name, task]));
  if (byName.size < parts.length) {
    const names = parts.map(({ task }) => task.name);
    throw new ConfigError(
      `task mixture: the tasks ${names.join(", ")} need names that differ. Give each once, its weight says how often; or name them apart with as.`,
    );
  }
  const turns = turnsOf(parts.map(({ weight }) => weight));
  const tagged = (task: Task, problem: Problem): Problem => ({
    ...problem,
    columns: { ...problem.columns, task: task.name },
  });
  const taskOf = ({ id, columns }: Problem): Task => {
    const task = byName.get(String(columns.task));
    if (task === undefined)
      throw new ConfigError(`Problem ${id} is of none of the tasks ${[...byName.keys()].join(", ")}.`);
    return task;
  };
  /** How many of the first `count` problems are of this part. */
  const countOf = (part: number, count: number): number => {
    const inLastRound = turns.slice(0, count % turns.length).filter((turn) => turn.part === part).length;
    return Math.floor(count / turns.length) * parts[part]!.weight + inLastRound;
  };
  const demonstrable = parts.every(({ task }) => task.demonstrate !== undefined);
  return {
    name: "mixture",
    // After so many problems each task has been gone through.
    trainCount: Math.max(...parts.map(({ task, weight }) => (task.trainCount / weight) * turns.length)),
    trainProblem: (index) => {
      const { part, rank } = turns[index % turns.length]!;
      const { task, weight } = parts[part]!;
      return tagged(task, task.trainProblem(Math.floor(index / turns.length) * weight + rank));
    },
    heldOut: (count) => {
      const lists = parts.map(({ task }, part) => task.heldOut(countOf(part, count)));
      return Array.from({ length: count }, (_, index) => {
        const { part, rank } = turns[index % turns.length]!;
        const { task, weight } = parts[part]!;
        return tagged(task, lists[part]![Math.floor(index / turns.length) * weight + rank]!);
      });
    },
    statisticKinds: Object.fromEntries(parts.flatMap(({ task }) => Object.entries(task.statisticKinds ?? {}))),
    ...(demonstrable && { demonstrate: (problem, seed) => taskOf(problem).demonstrate!(problem, seed) }),
    isTurn: (problem) => taskOf(problem).isTurn?.(problem) ?? false,
    requireDemonstrations: () => {
      for (const { task } of parts) task.requireDemonstrations?.();
    },
    judge: (problem, completion) => {
      const task = taskOf(problem);
      const verdict = task.judge(problem, completion);
      const own = {
        [`${task.name}/solveRate`]: Number(verdict.solved),
        [`${task.name}/formatRate`]: Number(verdict.wellFormed),
      };
      return { ...verdict, statistics: { ...verdict.statistics, ...own } };
    },
  };
}

/** One round of Σ weights turns: which part each is of, and which of that part's own in the round. The part that is
 * furthest behind its share goes next, the first one of several. */
function turnsOf(weights: readonly number[]): { readonly part: number; readonly rank: number }[] {
  const total = sumOf(weights);
  const given = weights.map(() => 0);
  return Array.from({ length: total }, (_, turn) => {
    const behind = weights.map((weight, part) => ((turn + 1) * weight) / total - given[part]!);
    const part = behind.indexOf(Math.max(...behind));
    return { part, rank: given[part]!++ };
  });
}

/** What a mixture needs of the tasks that it is made of. */
interface SingleTasks {
  /** The schema of a task that is no mixture. */
  readonly schema: () => z.ZodType<TaskSpec>;
  readonly create: (spec: TaskSpec, deps: TaskDeps) => Promise<Task>;
  readonly paths: (spec: unknown) => readonly NamedPath[];
}

/** Tasks in turns: `tasks: [{ weight: 3, task: { name: countdown, … } }, …]`. */
export function mixtureEntry({ schema, create, paths }: SingleTasks): TaskEntry {
  return {
    name: "mixture",
    summary: "several tasks in turns, each with its weight",
    get options() {
      return mixtureOptions(schema());
    },
    paths: (spec) =>
      itemsOf(spec).flatMap((item, i) => pathsBelow(["tasks", i, "task"], paths(valueAt(item, ["task"])))),
    parts: (spec) =>
      itemsOf(spec).map((item) => {
        const { task, as } = item as MixtureItem;
        return { label: as ?? task.name, spec: task };
      }),
    create: async (options, deps) => {
      const created = (options.tasks as readonly MixtureItem[]).map(async ({ task: spec, weight, as }) => {
        const task = await create(spec, deps);
        return { task: as === undefined ? task : { ...task, name: as }, weight };
      });
      return mixTasks(await Promise.all(created));
    },
  };
}

interface MixtureItem {
  readonly task: TaskSpec;
  readonly weight: number;
  readonly as?: string | undefined;
}

function itemsOf(spec: unknown): readonly unknown[] {
  const items = valueAt(spec, ["tasks"]);
  return Array.isArray(items) ? items : [];
}

function mixtureOptions(task: z.ZodType<TaskSpec>) {
  return z.strictObject({
    tasks: z
      .array(
        z.strictObject({
          weight: z.int().min(1).max(1000).default(1).describe("how many problems of Σ weights are of this task"),
          as: z
            .string()
            .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _")
            .optional()
            .describe("its name here, in rewards[].tasks and in statistics; needed where a task comes twice"),
          task: task.describe("a task with its own keys"),
        }),
      )
      .min(2)
      .describe("tasks that take turns"),
  });
}
