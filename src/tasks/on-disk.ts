/** Tasks whose data may be files of this machine's disk, or data sets of the Hub. */

import type { DataReader, TaskDeps, TaskSpec } from "./entry.ts";
import * as registry from "./registry.ts";
import type { Task } from "./task.ts";

/** Data of the disk. The code is loaded when data are read: a task that generates its problems needs none of it. */
export const DISK_DATA: DataReader = {
  load: async (options, deps) => (await import("../data/load.ts")).loadData(options, deps),
  rowsOf: async (path) => (await import("../data/formats.ts")).readAllRows(path),
};

/** `createTask` of `registry.ts`, with data from the disk. Throws ConfigError and DataError likewise. */
export function createTask(spec: TaskSpec, deps: TaskDeps): Promise<Task> {
  return registry.createTask(spec, { dataReader: DISK_DATA, ...deps });
}
