/**
 * Sends a run that is over, or was interrupted, to a tracker: what its directory holds and the tracker has not got. Sending
 * it again sends nothing twice, and a run that is resumed later goes on in the same tracked run.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { AhaError, RunDirError } from "../errors.ts";
import { lockRun } from "../run/run-lock.ts";
import { type RunSnapshot, readRun } from "../run/run-reader.ts";
import { RUN_FILES } from "../run/run-store.ts";
import type { RunEnd, TrackedRun } from "./tracker.ts";
import { type TrackerSpec, trackers } from "./trackers.ts";

/** A day: whoever sends a run wants all of it there. */
const FINISH_MS = 24 * 60 * 60 * 1000;

/** What a tracked run was said to be. */
export interface SentRun {
  readonly directory: string;
  readonly tracker: string;
  readonly state: RunEnd["state"];
}

/**
 * Sends the run in `directory` to the tracker that `spec`, checked, names.
 *
 * @throws RunDirError no run there, or one that goes on now; ConfigError; AhaError where not all of it could be sent
 */
export async function sendRun(directory: string, { name, ...options }: TrackerSpec): Promise<SentRun> {
  const path = resolve(directory);
  if (!existsSync(join(path, RUN_FILES.recipe))) {
    throw new RunDirError(`${path} has no ${RUN_FILES.recipe}: it is not a run directory.`);
  }
  const release = lockRun(path);
  try {
    const end = endOf(readRun(path));
    const faults: string[] = [];
    const tracker = await trackers.get(name).open(
      trackedRun(path, (message) => faults.push(message)),
      options,
    );
    await tracker.finish?.(end);
    const [fault] = faults.slice(-1);
    if (fault !== undefined) throw new AhaError(fault);
    return { directory: path, tracker: name, state: end.state };
  } finally {
    release();
  }
}

function trackedRun(directory: string, warn: (message: string) => void): TrackedRun {
  const { recipe, metrics } = readRun(directory);
  const stages = (Array.isArray(recipe.stages) ? recipe.stages : []) as readonly { readonly name: string }[];
  const last = metrics.at(-1);
  return {
    name: String(recipe.name),
    directory,
    recipe,
    stages: stages.map(({ name }) => name),
    resumed: { stage: last?.stage, step: last?.step ?? 0 },
    warn,
    finishMs: FINISH_MS,
  };
}

function endOf({ summary, events }: RunSnapshot): RunEnd {
  if (summary !== undefined) return { state: "finished", summary };
  const last = events.findLast(({ event }) => event === "interrupted" || event === "diverged" || event === "resumed");
  const reason = typeof last?.reason === "string" ? last.reason : "It ended without a word.";
  return { state: last?.event === "diverged" ? "failed" : "interrupted", reason };
}
