/**
 * How a task is written: a folder (or a file) exports one entry, and `registry.ts` lists it. The entry is all that
 * other code knows of a task before its problems are made: its keys, which of them are paths, what its problems can be
 * used for.
 */

import type { z } from "zod";
import type { LoadedData } from "../data/loaded-data.ts";
import type { DataOptions, ResolveDataset } from "../data/options.ts";
import type { DataRow } from "../data/row.ts";
import { ConfigError } from "../errors.ts";
import { type KeyPath, type NamedPath, pathAt, pathsOfItems } from "../named-paths.ts";
import type { ChatRenderer } from "./chat.ts";
import type { Task } from "./task.ts";

/** What a task is given besides its spec. */
export interface TaskDeps {
  /** Root of the task's random numbers. */
  readonly seed: number;
  /** Renders conversations; needed by prompts that are conversations. */
  readonly renderChat?: ChatRenderer;
  /** Reads data; without it there are only problems that are generated. On Node it is that of `on-disk.ts`. */
  readonly dataReader?: DataReader;
  /** Fetches a data set of the Hub; `fetchDataset` where there is none. */
  readonly resolveDataset?: ResolveDataset;
}

/** Reads data sets and files of rows, for tasks that do not generate their problems. */
export interface DataReader {
  /** The rows of `data:`, selected and split. Throws ConfigError and DataError. */
  load(
    options: DataOptions,
    deps: Pick<TaskDeps, "seed" | "resolveDataset"> & { readonly identify: (row: DataRow) => string },
  ): Promise<LoadedData>;
  /** All rows of the file at `path`. Throws DataError. */
  rowsOf(path: string): Promise<DataRow[]>;
}

/** A task as a recipe names it: its name and that task's keys. */
export type TaskSpec = { readonly name: string } & Readonly<Record<string, unknown>>;

/** A task inside of another one's spec. */
export interface TaskPart {
  /** What problems of this part have as their column `task`. */
  readonly label: string;
  readonly spec: TaskSpec;
}

/** A task as the registry has it. */
export interface TaskEntry<Options extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One line: what its problems are, and who judges. */
  readonly summary: string;
  /** Its keys beside `name`, a strict object. */
  readonly options: Options;
  /** The paths in a spec, checked or not; none where absent. */
  paths?(spec: unknown): readonly NamedPath[];
  /** The tasks that a spec is made of, where it is a mixture. */
  parts?(spec: TaskSpec): readonly TaskPart[];
  /** The spec for problems of the data at `path` in place of those that it names or generates; absent where it takes none. */
  withDataFile?(spec: TaskSpec, path: string): TaskSpec;
  /** Whether its problems come with two answers of which one is preferred. */
  readonly hasPreferences?: boolean;
  /** Whether a good completion thinks before it answers, so that long ones are cut only at a loss. */
  readonly isReasoning?: boolean;
  /**
   * The task, its data read and checked.
   *
   * @throws ConfigError for options that cannot be met; DataError for bad data.
   */
  create(options: z.output<Options>, deps: TaskDeps): Promise<Task>;
}

/** Returns its argument; it lets TypeScript infer the type of the options. */
export function defineTask<Options extends z.ZodObject>(entry: TaskEntry<Options>): TaskEntry<Options> {
  return entry;
}

/** The paths of `data:`, data sets that may be on the Hub. */
export function dataPaths(spec: unknown): NamedPath[] {
  const ofSource = (source: unknown, keys: KeyPath) => pathAt(source, keys, "dataset", { hub: true });
  const more = pathsOfItems(spec, ["data", "more"], (source) => ofSource(source, ["path"]));
  return [...ofSource(spec, ["data", "path"]), ...more];
}

/** The spec with other data, under the same names of columns. `left` are keys that say nothing about them. */
export function withOtherData(spec: TaskSpec, path: string, left: readonly string[] = []): TaskSpec {
  const { data } = spec as { readonly data?: { readonly columns?: unknown } };
  const kept = Object.entries(spec).filter(([key]) => !left.includes(key));
  return {
    ...(Object.fromEntries(kept) as TaskSpec),
    data: { ...(data?.columns ? { columns: data.columns } : {}), path },
  };
}

/** The rows of `data:`. Throws ConfigError where nothing reads data. */
export async function loadTaskData(
  options: DataOptions,
  { seed, dataReader, resolveDataset }: TaskDeps,
  identify: (row: DataRow) => string,
): Promise<LoadedData> {
  return requireReader(dataReader, options.path).load(options, {
    ...{ seed, identify },
    ...(resolveDataset && { resolveDataset }),
  });
}

/** What reads the data at `path`. Throws ConfigError where nothing does. */
export function requireReader(reader: DataReader | undefined, path: string): DataReader {
  if (reader !== undefined) return reader;
  throw new ConfigError(`The task's problems are in ${path}, and nothing that reads data was handed in (dataReader).`);
}
