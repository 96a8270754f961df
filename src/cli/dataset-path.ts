/** Data sets that a user names in a command: paths, or names on the Hub, whose download standard error shows. */

import type { ResolveDataset } from "../data/options.ts";
import { resolveDataset } from "../hub/resolve.ts";
import type { CommandContext } from "./command.ts";
import { HubProgress } from "./hub-progress.ts";

/** Resolves data sets for a command: Ctrl-C stops a download. What it returns throws HubError, RunInterrupted. */
export function datasetResolver(context: CommandContext): ResolveDataset {
  return async (reference) => {
    const progress = new HubProgress(context, "text");
    try {
      const { signal } = context;
      const { path } = await resolveDataset(reference, { signal, onProgress: progress.pull, onNote: progress.note });
      return path;
    } finally {
      progress.end();
    }
  };
}
