/**
 * Asks a run to stop as Ctrl-C does: it finishes its step, makes a checkpoint and ends. The signal goes to the process that
 * the run's lock names, and only where it is certain that this is still the same process, since ids are used again.
 */

import { execFileSync } from "node:child_process";
import { RunDirError } from "../errors.ts";
import { type LockHolder, lockState } from "../run/run-lock.ts";

/** Locks that were asked already: a second signal would end the process at once. */
const asked = new Set<string>();

/** Throws RunDirError where nothing runs there, or the process cannot be reached from here. */
export function askToStop(directory: string): void {
  const state = lockState(directory);
  if (state?.isHeld !== true)
    throw new RunDirError(`No process is training in ${directory}; there is nothing to stop.`);
  const { holder, isHere } = state;
  if (!isHere) {
    throw new RunDirError(`The run is on ${holder.host}, which cannot be reached from here. Press Ctrl-C there.`);
  }
  const key = JSON.stringify(holder);
  if (asked.has(key)) throw new RunDirError("The run was asked to stop already; it ends after its step.");
  if (holder.pid !== process.pid && !isSameProcess(holder)) {
    throw new RunDirError(
      `It is not certain that process ${holder.pid} is still the run, so it gets no signal. Press Ctrl-C in its terminal.`,
    );
  }
  asked.add(key);
  // To this process itself, also where it is another thread that trains: its listeners are those of Ctrl-C.
  process.kill(holder.pid, "SIGINT");
}

function isSameProcess({ pid, startedAt, processStart }: LockHolder): boolean {
  // On Linux the lock says when the process began, and whether that is so was part of "held".
  if (processStart !== null) return true;
  if (process.platform === "win32") return false;
  try {
    const begun = Date.parse(execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim());
    // A process that has got the id since began after the lock was taken. `ps` knows whole seconds.
    return begun <= Date.parse(startedAt) + 1000;
  } catch {
    return false;
  }
}
