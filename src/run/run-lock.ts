/**
 * The lock of a run directory: a file that names the process that writes there. It appears with its content in one
 * step (a hard link to a finished file), so no reader ever sees half of it. A lock whose process is gone is taken over,
 * but only on the host that wrote it: nothing can be known about a process of another host.
 *
 * A process is recognised by its id and by when it began, because ids are reused, in containers immediately.
 */

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { RunDirError } from "../errors.ts";
import { systemReason, TEMPORARY_PREFIX } from "../files.ts";

/** File name of the lock. */
export const LOCK_NAME = "run.lock";
/** Processes that all find the same stale lock settle it within a few rounds. */
const ATTEMPTS = 5;

/** Who has, or had, a run directory. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** When the run took the lock, ISO 8601: for people. */
  readonly startedAt: string;
  /** Distinguishes this process from a later one with the same id; null where the system does not provide it. */
  readonly processStart: string | null;
}

/** The lock of a run directory as a bystander sees it: who is named in it, and whether that process still lives. */
export interface LockState {
  readonly holder: LockHolder;
  /** A process of this machine that is there. One of another machine cannot be looked at, and is taken to live. */
  readonly isHeld: boolean;
  readonly isHere: boolean;
}

/** The lock of `directory`; undefined where there is none, or it is not one of ours. Nothing is changed. */
export function lockState(directory: string): LockState | undefined {
  const content = readIfPresent(join(directory, LOCK_NAME));
  const holder = content === undefined ? undefined : parseHolder(content);
  if (content === undefined || holder === undefined) return undefined;
  return { holder, isHeld: isHeld(content), isHere: holder.host === hostname() };
}

/** Takes the lock of `directory` and returns how to release it. Throws RunDirError while another process has it. */
export function lockRun(directory: string): () => void {
  const path = join(directory, LOCK_NAME);
  const own = join(directory, `${TEMPORARY_PREFIX}lock-${process.pid}`);
  const holder: LockHolder = {
    pid: process.pid,
    host: hostname(),
    startedAt: new Date().toISOString(),
    processStart: processStart(process.pid),
  };
  const content = `${JSON.stringify(holder)}\n`;
  try {
    writeFileSync(own, content);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (placeLock(own, path, content)) return () => releaseLock(path, content);
      const current = readIfPresent(path);
      if (current === undefined) continue;
      if (isHeld(current)) throw inUse(directory, current);
      removeStale(path, current);
    }
    throw new RunDirError(`${directory}: other processes are taking this run directory at the same time. Try again.`);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new RunDirError(`Cannot lock ${directory}: ${reason}. Correct this, and try again.`);
  } finally {
    rmSync(own, { force: true });
  }
}

/** How a file system says that it has no hard links. */
const WITHOUT_LINKS: ReadonlySet<unknown> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EINVAL",
  "EMLINK",
  "EXDEV",
]);

/** Creates the lock unless there is one. File systems without hard links get an exclusive create instead. */
function placeLock(from: string, path: string, content: string): boolean {
  try {
    linkSync(from, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (!WITHOUT_LINKS.has(code)) throw error;
  }
  try {
    writeFileSync(path, content, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    // This process has created the file but has not finished writing it.
    rmSync(path, { force: true });
    throw error;
  }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function releaseLock(path: string, content: string): void {
  if (readIfPresent(path) === content) rmSync(path, { force: true });
}

/** Moves the stale lock away. Only one process can move it; one that moved a fresh lock by mistake puts it back. */
function removeStale(path: string, expected: string): void {
  const moved = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  const content = readFileSync(moved, "utf8");
  if (content !== expected) placeLock(moved, path, content);
  rmSync(moved, { force: true });
}

function parseHolder(content: string): LockHolder | undefined {
  try {
    const value = JSON.parse(content) as LockHolder;
    return typeof value.pid === "number" && typeof value.host === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}

function isHeld(content: string): boolean {
  const holder = parseHolder(content);
  if (holder === undefined || holder.host !== hostname()) return true;
  if (!processExists(holder.pid)) return false;
  return holder.processStart === null || holder.processStart === processStart(holder.pid);
}

/** Whether a process of this machine has the id. */
export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** On Linux: boot id and start time in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)). */
function processStart(pid: number): string | null {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name, field 2, is in parentheses and may hold spaces: count from behind it.
    const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    return ticks === undefined ? null : `${boot}:${ticks}`;
  } catch {
    return null;
  }
}

function inUse(directory: string, content: string): RunDirError {
  const holder = parseHolder(content);
  const path = join(directory, LOCK_NAME);
  if (holder === undefined) {
    return new RunDirError(`${path} is not a lock that Aha wrote. If no run uses ${directory}, delete it.`);
  }
  const elsewhere = holder.host !== hostname();
  return new RunDirError(
    `${directory} is in use by process ${holder.pid} on ${holder.host} since ${holder.startedAt}. ` +
      (elsewhere ? `If that process is gone, delete ${path}; otherwise` : "Wait for it to end, or") +
      " choose another directory with --out.",
  );
}
