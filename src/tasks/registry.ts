/**
 * Tasks by name, as a recipe's `task:` gives them: `{ name: countdown, prompt: compact, … }`. A new task is one folder
 * beside this file and one entry below.
 */

import { z } from "zod";
import { ConfigError, nearestName } from "../errors.ts";
import { createCountdownTask } from "./countdown/countdown.ts";
import { GENERATOR_KEYS } from "./countdown/generator.ts";
import { countdownOptionsSchema } from "./countdown/options.ts";
import type { ChatRenderer } from "./countdown/prompts.ts";
import type { SourceRow } from "./countdown/rows.ts";
import type { Task } from "./task.ts";

/** A task in a recipe: its name and that task's options. */
export const taskSpecSchema = z.discriminatedUnion("name", [
  countdownOptionsSchema.safeExtend({ name: z.literal("countdown") }),
]);

/** A task as it may be written; options left out have their defaults. */
export type TaskSpec = z.input<typeof taskSpecSchema>;

/** Names that `createTask` knows. */
export const taskNames: readonly string[] = ["countdown"];

/** The spec for problems of `file` in place of generated ones: without what only the generator reads. */
export function withDataFile(spec: { readonly name: string }, file: string): { readonly name: string } {
  const isOfGenerator = (key: string) => GENERATOR_KEYS.some((known) => known === key);
  const kept = Object.fromEntries(Object.entries(spec).filter(([key]) => !isOfGenerator(key)));
  const ofFile = { ...kept, name: spec.name, file };
  return ofFile;
}

/** What a task is given besides its spec. */
export interface TaskDeps {
  /** Root of the task's random numbers. */
  readonly seed: number;
  /** Renders a conversation whose last message, the assistant's, is continued; needed by prompts that are conversations. */
  readonly renderChat?: ChatRenderer;
  /** Reads a data file, e.g. `readAllJsonl`; needed where the task's options name one. */
  readonly readRows?: (file: string) => Promise<readonly SourceRow[]>;
}

/**
 * The task of a spec.
 *
 * @throws ConfigError for an unknown name or option, or options that cannot be met; DataError for a bad data file.
 */
export async function createTask(spec: { readonly name: string }, deps: TaskDeps): Promise<Task> {
  const { name, ...options } = spec as Record<string, unknown> & { name: string };
  if (name !== "countdown") {
    const nearest = nearestName(name, taskNames);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw new ConfigError(`There is no task ${JSON.stringify(name)}; known: ${taskNames.join(", ")}.${hint}`);
  }
  const file = options.file;
  const rows = typeof file === "string" ? await deps.readRows?.(file) : undefined;
  return createCountdownTask(options, { ...deps, ...(rows ? { rows } : {}) });
}
