/**
 * What has become of a run, told from its lock, its summary and the last lines of its diary.
 *
 * A lock whose process lives: the run goes on. No lock and no summary: it was stopped, gave up, or died without a word;
 * the diary knows which.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { lockState } from "../run/run-lock.ts";
import { RUN_FILES } from "../run/run-store.ts";

/** In one word. `ended`: killed, or failed, before it could say so. */
export type RunState = "running" | "finished" | "interrupted" | "diverged" | "ended" | "gone";

/** Lines of the diary that tell how a session went. */
const TELLING = new Set(["started", "resumed", "interrupted", "diverged", "finished"]);

/** The state of the run in `directory`; `events` are the names of its diary's lines. */
export function runState(directory: string, events: readonly string[]): RunState {
  if (!existsSync(join(directory, RUN_FILES.recipe))) return "gone";
  if (existsSync(join(directory, RUN_FILES.summary))) return "finished";
  if (lockState(directory)?.isHeld === true) return "running";
  const last = events.findLast((event) => TELLING.has(event));
  return last === "interrupted" || last === "diverged" ? last : "ended";
}
