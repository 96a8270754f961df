/**
 * Tasks by name, as a recipe's `task:` gives them: `{ name: countdown, prompt: compact, … }`. A new task is one folder
 * beside this file and one entry below.
 */

import { z } from "zod";
import { readAllRows } from "../data/formats.ts";
import { loadData } from "../data/load.ts";
import type { ResolveDataset } from "../data/reference.ts";
import { ConfigError, nearestName } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import { createAssistantTask } from "./assistant/assistant.ts";
import { assistantOptionsSchema } from "./assistant/options.ts";
import type { ChatRenderer } from "./chat.ts";
import { createConversationsTask, identifyConversation } from "./conversations/conversations.ts";
import { conversationsOptionsSchema } from "./conversations/options.ts";
import { createCountdownTask } from "./countdown/countdown.ts";
import { GENERATOR_KEYS } from "./countdown/generator.ts";
import { countdownOptionsSchema } from "./countdown/options.ts";
import { identifyRow } from "./countdown/source.ts";
import { createMathTask, identifyProblem } from "./math/math.ts";
import { GENERATOR_KEYS as MATH_GENERATOR_KEYS, mathOptionsSchema } from "./math/options.ts";
import { mixTasks } from "./mixture.ts";
import { createPreferencesTask, identifyPreference, preferencesOptionsSchema } from "./preferences/preferences.ts";
import type { Task } from "./task.ts";

const singleTaskSchemas = [
  countdownOptionsSchema.safeExtend({ name: z.literal("countdown") }),
  conversationsOptionsSchema.safeExtend({ name: z.literal("conversations") }),
  assistantOptionsSchema.safeExtend({ name: z.literal("assistant") }),
  mathOptionsSchema.safeExtend({ name: z.literal("math") }),
  preferencesOptionsSchema.safeExtend({ name: z.literal("preferences") }),
] as const;

/** Tasks in turns: `tasks: [{ weight: 3, task: { name: countdown, … } }, …]`. */
const mixtureOptionsSchema = z.strictObject({
  tasks: z
    .array(
      z.strictObject({
        weight: z.int().min(1).max(1000).default(1).describe("how many problems of Σ weights are of this task"),
        as: z
          .string()
          .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _")
          .optional()
          .describe("its name here, in rewards[].tasks and in statistics; needed where a task comes twice"),
        task: z.discriminatedUnion("name", singleTaskSchemas).describe("a task with its own keys"),
      }),
    )
    .min(2)
    .describe("tasks that take turns"),
});

/** A task in a recipe: its name and that task's options. */
export const taskSpecSchema = z.discriminatedUnion("name", [
  ...singleTaskSchemas,
  mixtureOptionsSchema.safeExtend({ name: z.literal("mixture") }),
]);

/** A task as it may be written; options left out have their defaults. */
export type TaskSpec = z.input<typeof taskSpecSchema>;

type CreateTask = (options: unknown, deps: TaskDeps) => Promise<Task>;

const tasks: ReadonlyMap<string, CreateTask> = new Map([
  ["countdown", createCountdown],
  ["conversations", createConversations],
  ["assistant", async (options, deps) => createAssistantTask(options, deps)],
  ["math", createMath],
  ["preferences", createPreferences],
  ["mixture", createMixture],
]);

/** Names that `createTask` knows. */
export const taskNames: readonly string[] = [...tasks.keys()];

/** The spec for problems of the data at `path` in place of those that it names or generates. */
export function withDataFile(spec: { readonly name: string }, path: string): { readonly name: string } {
  if (spec.name === "conversations" || spec.name === "math" || spec.name === "preferences") {
    const { data } = spec as { readonly data?: Readonly<Record<string, unknown>> };
    const kept = Object.fromEntries(Object.entries(spec).filter(([key]) => !MATH_GENERATOR_KEYS.includes(key)));
    const changed = { ...kept, name: spec.name, data: { ...(data?.columns ? { columns: data.columns } : {}), path } };
    return changed;
  }
  const ofSource = (key: string) => key === "data" || GENERATOR_KEYS.some((known) => known === key);
  const kept = Object.fromEntries(Object.entries(spec).filter(([key]) => !ofSource(key)));
  const ofFile = { ...kept, name: spec.name, file: path };
  return ofFile;
}

/** What a task is given besides its spec. */
export interface TaskDeps {
  /** Root of the task's random numbers. */
  readonly seed: number;
  /** Renders conversations; needed by prompts that are conversations. */
  readonly renderChat?: ChatRenderer;
  /** Fetches a data set of the Hub; `fetchDataset` where there is none. */
  readonly resolveDataset?: ResolveDataset;
}

/**
 * The task of a spec, its data read and checked.
 *
 * @throws ConfigError for an unknown name or option, or options that cannot be met; DataError for bad data.
 */
export async function createTask(spec: { readonly name: string }, deps: TaskDeps): Promise<Task> {
  const { name, ...options } = spec;
  const create = tasks.get(name);
  if (create) return create(options, deps);
  const nearest = nearestName(name, taskNames);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(`There is no task ${JSON.stringify(name)}; known: ${taskNames.join(", ")}.${hint}`);
}

async function createCountdown(options: unknown, deps: TaskDeps): Promise<Task> {
  const { file, data } = checkOptions(countdownOptionsSchema, options, "task countdown");
  return createCountdownTask(options, {
    ...deps,
    ...(file === undefined ? {} : { rows: await readAllRows(file) }),
    ...(data === undefined ? {} : { data: await loadData(data, { ...deps, identify: identifyRow }) }),
  });
}

async function createMixture(options: unknown, deps: TaskDeps): Promise<Task> {
  const { tasks: parts } = checkOptions(mixtureOptionsSchema, options, "task mixture");
  const created = parts.map(async ({ task: spec, weight, as }) => {
    const task = await createTask(spec, deps);
    return { task: as === undefined ? task : { ...task, name: as }, weight };
  });
  return mixTasks(await Promise.all(created));
}

async function createConversations(options: unknown, deps: TaskDeps): Promise<Task> {
  const checked = checkOptions(conversationsOptionsSchema, options, "task conversations");
  const identify = (row: Parameters<typeof identifyConversation>[0]) => identifyConversation(row, checked);
  return createConversationsTask(checked, { ...deps, data: await loadData(checked.data, { ...deps, identify }) });
}

async function createMath(options: unknown, deps: TaskDeps): Promise<Task> {
  const checked = checkOptions(mathOptionsSchema, options, "task math");
  if (checked.data === undefined) return createMathTask(options, deps);
  const identify = (row: Parameters<typeof identifyProblem>[0]) => identifyProblem(row, checked);
  return createMathTask(options, { ...deps, data: await loadData(checked.data, { ...deps, identify }) });
}

async function createPreferences(options: unknown, deps: TaskDeps): Promise<Task> {
  const checked = checkOptions(preferencesOptionsSchema, options, "task preferences");
  const identify = (row: Parameters<typeof identifyPreference>[0]) => identifyPreference(row, checked);
  return createPreferencesTask(checked, { ...deps, data: await loadData(checked.data, { ...deps, identify }) });
}
