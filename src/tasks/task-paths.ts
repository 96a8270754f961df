/** What a task's spec names, also where it is a mixture of tasks: paths, and the names of the tasks. */

import type { z } from "zod";
import { type NamedPath, pathAt, pathsBelow, pathsOfItems, valueAt } from "../named-paths.ts";
import type { taskSpecSchema } from "./registry.ts";

/** A task's spec, checked. */
export type CheckedTaskSpec = z.output<typeof taskSpecSchema>;
type SingleTaskSpec = Exclude<CheckedTaskSpec, { name: "mixture" }>;

/** The task, or those that a mixture is made of. */
export function singleTasks(task: CheckedTaskSpec): readonly SingleTaskSpec[] {
  return task.name === "mixture" ? task.tasks.map((part) => part.task) : [task];
}

/** What the tasks of a spec are called: in the column `task` of their problems, and in `rewards[].tasks`. */
export function taskLabels(spec: CheckedTaskSpec): string[] {
  return spec.name === "mixture" ? spec.tasks.map(({ as, task }) => as ?? task.name) : [spec.name];
}

/** The files and data sets that a spec names, checked or not. */
export function taskPaths(spec: unknown): NamedPath[] {
  return [
    ...pathAt(spec, ["file"], "file"),
    ...pathAt(spec, ["data", "path"], "dataset", { hub: true }),
    ...pathsOfItems(spec, ["tasks"], (part) => pathsBelow(["task"], taskPaths(valueAt(part, ["task"])))),
  ];
}
