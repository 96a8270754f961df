/**
 * Tasks by name, as a recipe's `task:` gives them: `{ name: countdown, prompt: compact, … }`. A new task is one folder
 * beside this file and one entry below.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import type { NamedPath } from "../named-paths.ts";
import { cachedBy, Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import { assistantTask } from "./assistant/entry.ts";
import { conversationsTask } from "./conversations/entry.ts";
import { countdownTask } from "./countdown/entry.ts";
import type { TaskDeps, TaskEntry, TaskSpec } from "./entry.ts";
import { mathTask } from "./math/entry.ts";
import { mixtureEntry } from "./mixture.ts";
import { preferencesTask } from "./preferences/entry.ts";
import type { Task } from "./task.ts";

/** Every task that a recipe can name. */
export const tasks: Registry<TaskEntry> = new Registry<TaskEntry>("task", [
  countdownTask,
  conversationsTask,
  assistantTask,
  mathTask,
  preferencesTask,
]);
tasks.add(mixtureEntry({ schema: () => singleTaskSchema(), create: createTask, paths: taskPaths }));

const singleTaskSchema = cachedBy([tasks], () => specSchema(tasks.all.filter(({ parts }) => parts === undefined)));

/** A task in a recipe: its name and that task's keys. Made of the registry, so it is asked for each time. */
export const taskSpecSchema: () => z.ZodType<TaskSpec> = cachedBy([tasks], () => specSchema(tasks.all));

function specSchema(entries: readonly TaskEntry[]): z.ZodType<TaskSpec> {
  const [first, ...others] = entries.map(({ name, options }) => options.safeExtend({ name: z.literal(name) }));
  return z.discriminatedUnion("name", [first!, ...others]) as unknown as z.ZodType<TaskSpec>;
}

/**
 * The task of a spec, its data read and checked.
 *
 * @throws ConfigError for an unknown name or option, or options that cannot be met; DataError for bad data.
 */
export async function createTask(spec: TaskSpec, deps: TaskDeps): Promise<Task> {
  const { name, ...options } = spec;
  const entry = tasks.get(name);
  return entry.create(checkOptions(entry.options, options, `task ${name}`), deps);
}

/** The paths that a spec names, checked or not; an unknown task names none. */
export function taskPaths(spec: unknown): readonly NamedPath[] {
  const { name } = (spec ?? {}) as { readonly name?: unknown };
  return (typeof name === "string" && tasks.find(name)?.paths?.(spec)) || [];
}

/** The task, or those that a mixture is made of. */
export function singleTasks(spec: TaskSpec): readonly TaskSpec[] {
  return (
    tasks
      .find(spec.name)
      ?.parts?.(spec)
      .map((part) => part.spec) ?? [spec]
  );
}

/** What the tasks of a spec are called: in the column `task` of their problems, and in `rewards[].tasks`. */
export function taskLabels(spec: TaskSpec): string[] {
  return (
    tasks
      .find(spec.name)
      ?.parts?.(spec)
      .map(({ label }) => label) ?? [spec.name]
  );
}

/**
 * The spec for problems of the data at `path` in place of those that it names or generates.
 *
 * @throws ConfigError for a task that takes no data.
 */
export function withDataFile(spec: { readonly name: string }, path: string): TaskSpec {
  const { withDataFile: replaced } = tasks.get(spec.name);
  if (replaced !== undefined) return replaced(spec as TaskSpec, path);
  throw new ConfigError(`The task ${spec.name} takes no problems from a file, so ${path} cannot be read for it.`);
}
