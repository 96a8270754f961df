/** The files and data sets that a task reads, also where it is a mixture of tasks. */

import type { Recipe } from "./schema.ts";

type TaskSpec = Recipe["task"];
type SingleTaskSpec = Exclude<TaskSpec, { name: "mixture" }>;

/** The task, or those that a mixture is made of. */
export function singleTasks(task: TaskSpec): readonly SingleTaskSpec[] {
  return task.name === "mixture" ? task.tasks.map((part) => part.task) : [task];
}

/** The data sets that a task takes rows of, each with where its path stands below `data`. */
export function dataPaths(task: SingleTaskSpec): { readonly keys: (string | number)[]; readonly path: string }[] {
  const data = "data" in task ? task.data : undefined;
  if (data === undefined) return [];
  const more = (data.more ?? []).map(({ path }, i) => ({ keys: ["more", i, "path"], path }));
  return [{ keys: ["path"], path: data.path }, ...more];
}

/** What the tasks of a spec are called: in the column `task` of their problems, and in `rewards[].tasks`. */
export function taskLabels(spec: TaskSpec): string[] {
  return spec.name === "mixture" ? spec.tasks.map(({ as, task }) => as ?? task.name) : [spec.name];
}

/** What a path may be. */
export interface TaskPaths {
  /** A file on this machine. */
  readonly file: (path: string) => string;
  /** A file or folder on this machine, or a data set on the Hub. */
  readonly data: (path: string) => string;
}

/** The task with its paths replaced. */
export function withTaskPaths(task: TaskSpec, paths: TaskPaths): TaskSpec {
  if (task.name !== "mixture") return withPaths(task, paths);
  return { ...task, tasks: task.tasks.map((part) => ({ ...part, task: withPaths(part.task, paths) })) };
}

function withPaths(task: SingleTaskSpec, { file, data }: TaskPaths): SingleTaskSpec {
  return {
    ...task,
    ...("file" in task && task.file !== undefined && { file: file(task.file) }),
    ...("data" in task && task.data !== undefined && { data: withDataPaths(task.data, data) }),
  } as SingleTaskSpec;
}

type DataSpec = NonNullable<Extract<SingleTaskSpec, { data?: unknown }>["data"]>;

function withDataPaths(data: DataSpec, replace: TaskPaths["data"]): DataSpec {
  const more = data.more?.map((source) => ({ ...source, path: replace(source.path) }));
  return { ...data, path: replace(data.path), ...(more && { more }) };
}
