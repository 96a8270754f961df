/**
 * The rollouts of a run, in files of bounded size.
 *
 *     rollouts.jsonl                    the file that is written now
 *     rollouts-000001.jsonl | .parquet  files that are full, oldest first
 *
 * Rows are appended to JSON Lines, so that a killed process loses nothing. A file that is full is renamed and, where
 * Parquet is asked for, turned into it: a Parquet file is there whole or not at all. At the end of a run that happens to
 * the last one too.
 *
 * A checkpoint holds the number of the file that is written and its length. A resume makes that file the current one
 * again, cut to that length, and removes those behind it, so that a run which was interrupted leaves the same files as one
 * that was not. For this a full file that a checkpoint points into stays, also where `keepFiles` would have it removed.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { RunDirError } from "../errors.ts";
import { TEMPORARY_PREFIX } from "../files.ts";
import { LogFile, onDisk, readLog } from "./log-file.ts";
import { logFileName, type RolloutRecord, rolloutRecordSchema } from "./records.ts";
import { rolloutsFromParquet, rolloutsToParquet } from "./rollout-parquet.ts";
import type { RolloutFiles } from "./run-store.ts";

/** A place between two rows: the number of a file, from 1 on, and how many bytes of it are before that place. */
export interface RolloutPosition {
  readonly file: number;
  readonly bytes: number;
}

const FULL_FILE = /^rollouts-(\d{6,})\.(jsonl|parquet)$/;

/** A full file of rollouts. */
export interface FullFile {
  /** Its number. */
  readonly file: number;
  readonly path: string;
  readonly format: RolloutFiles["format"];
}

/** Full files in order; of one that is there in both formats the Parquet file, which is whole. */
export function fullFiles(directory: string): FullFile[] {
  const found = new Map<number, FullFile>();
  for (const name of readdirSync(directory).sort()) {
    const match = FULL_FILE.exec(name);
    if (!match) continue;
    const file = Number(match[1]);
    found.set(file, { file, path: join(directory, name), format: match[2] as RolloutFiles["format"] });
  }
  return [...found.values()].sort((a, b) => a.file - b.file);
}

function fullPath(directory: string, file: number, format: RolloutFiles["format"]): string {
  return join(directory, `rollouts-${String(file).padStart(6, "0")}.${format}`);
}

/** Every rollout of a run, in the order in which they were sampled, a file in memory at a time. */
export async function* eachRollout(directory: string): AsyncGenerator<RolloutRecord, void, void> {
  for (const { path, format } of fullFiles(directory)) {
    yield* format === "parquet" ? await rolloutsFromParquet(path) : readLog(path, rolloutRecordSchema);
  }
  yield* readLog(join(directory, logFileName("rollouts")), rolloutRecordSchema);
}

/** Why the logs of a run cannot be cut back to `position`; undefined where they can. */
export function rolloutDamage(directory: string, { file, bytes }: RolloutPosition): string | undefined {
  if (bytes === 0) return undefined;
  const full = fullFiles(directory);
  const found = full.find((one) => one.file === file);
  if (found?.format === "parquet") return undefined;
  const isCurrent = found === undefined && file === (full.at(-1)?.file ?? 0) + 1;
  const path = found?.path ?? join(directory, logFileName("rollouts"));
  if (!(found || isCurrent) || !existsSync(path)) return `file ${file} of the rollouts is not there`;
  const sizeBytes = statSync(path).size;
  if (sizeBytes >= bytes) return undefined;
  return `${basename(path)} has ${sizeBytes} bytes where the checkpoint counts ${bytes}`;
}

/** The rollouts as the run that makes them sees them. Failures of the file system are RunDirErrors. */
export class RolloutLog {
  private readonly directory: string;
  private settings: RolloutFiles = { format: "jsonl", maxFileBytes: Number.POSITIVE_INFINITY };
  private current: LogFile;
  private file: number;
  /** Whose rows the current file holds. */
  private stage: string | undefined;
  /** Full files that checkpoints point into. */
  private pinned: ReadonlySet<number> = new Set();

  /** Opens the run's files for appending. */
  constructor(directory: string) {
    this.directory = directory;
    this.file = (fullFiles(directory).at(-1)?.file ?? 0) + 1;
    this.current = this.openCurrent();
  }

  /** Before the first `append`: how files are kept from now on. Files that a killed process left half-way are done. */
  keepAs(settings: RolloutFiles): void {
    this.settings = settings;
    for (const { file } of fullFiles(this.directory)) this.convert(file);
  }

  get position(): RolloutPosition {
    return { file: this.file, bytes: this.current.sizeBytes };
  }

  append(rows: readonly RolloutRecord[]): void {
    let lines: RolloutRecord[] = [];
    let bytes = this.current.sizeBytes;
    for (const row of rows.map(inOrder)) {
      const sizeBytes = Buffer.byteLength(JSON.stringify(row), "utf8") + 1;
      const isOther = this.settings.format === "parquet" && this.stage !== undefined && row.stage !== this.stage;
      if (bytes > 0 && (bytes + sizeBytes > this.settings.maxFileBytes || isOther)) {
        this.current.append(lines);
        this.rotate();
        lines = [];
        bytes = 0;
      }
      lines.push(row);
      bytes += sizeBytes;
      this.stage = row.stage;
    }
    this.current.append(lines);
  }

  sync(): void {
    this.current.sync();
  }

  close(): void {
    this.current.close();
  }

  /** Checkpoints point into these files: they stay. */
  pin(files: readonly number[]): void {
    this.pinned = new Set(files);
    this.removeOld();
  }

  /** Ends the last file of a run that is complete; what was kept for a resume only goes. */
  finish(): void {
    if (this.settings.format === "parquet" && this.current.sizeBytes > 0) {
      this.rotate();
    }
    this.pin([]);
    if (this.file > 1 && this.current.sizeBytes === 0) rmSync(this.current.path);
  }

  /**
   * Removes everything behind `position`.
   *
   * @throws RunDirError where a Parquet file does not give back what it was made of.
   */
  async cutBack({ file, bytes }: RolloutPosition): Promise<void> {
    const full = fullFiles(this.directory);
    const found = full.find((one) => one.file === file);
    if (found) {
      const path = fullPath(this.directory, file, "jsonl");
      // Where a file is there in both formats, the Parquet file is whole; the other one may be partly removed.
      if (found.format === "parquet") await restoreLines(found.path, path, bytes);
      this.current.close();
      onDisk(path, () => renameSync(path, join(this.directory, logFileName("rollouts"))));
      this.current = this.openCurrent();
    }
    for (const one of full) if (one.file >= file) removeBoth(this.directory, one.file);
    this.file = file;
    this.current.truncate(Math.min(bytes, this.current.sizeBytes));
    this.stage = this.stageOfCurrent();
  }

  private openCurrent(): LogFile {
    return new LogFile(join(this.directory, logFileName("rollouts")));
  }

  private stageOfCurrent(): string | undefined {
    if (this.current.sizeBytes === 0) return undefined;
    return readLog(this.current.path, rolloutRecordSchema)[0]?.stage;
  }

  /** Makes the current file a full one, and begins the next. */
  private rotate(): void {
    this.current.sync();
    this.current.close();
    const path = fullPath(this.directory, this.file, "jsonl");
    onDisk(path, () => renameSync(this.current.path, path));
    this.current = this.openCurrent();
    this.convert(this.file);
    this.file++;
    this.stage = undefined;
    this.removeOld();
  }

  /** Turns a full file into Parquet, where that is asked for. */
  private convert(file: number): void {
    if (this.settings.format !== "parquet") return;
    const source = fullPath(this.directory, file, "jsonl");
    if (!existsSync(source)) return;
    const target = fullPath(this.directory, file, "parquet");
    if (!existsSync(target)) writeWholeNow(target, rolloutsToParquet(readLog(source, rolloutRecordSchema)));
    onDisk(source, () => rmSync(source));
  }

  private removeOld(): void {
    const { keepFiles } = this.settings;
    if (keepFiles === undefined) return;
    for (const { file } of fullFiles(this.directory)) {
      if (file < this.file - keepFiles && !this.pinned.has(file)) removeBoth(this.directory, file);
    }
  }
}

/** The row with the keys of its rewards in one order, and texts that UTF-8 can hold. */
function inOrder(row: RolloutRecord): RolloutRecord {
  const rewards = Object.entries(row.rewards).map(([name, { score, reason }]) => {
    return [name, { score, reason: wellFormed(reason) }] as const;
  });
  return {
    ...row,
    prompt: wellFormed(row.prompt),
    completion: wellFormed(row.completion),
    rewards: Object.fromEntries(rewards),
  };
}

/** Half of a surrogate pair, which a reward may leave that cuts a text, becomes U+FFFD. */
function wellFormed(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
}

function removeBoth(directory: string, file: number): void {
  for (const format of ["jsonl", "parquet"] as const) rmSync(fullPath(directory, file, format), { force: true });
}

/** Writes the rows of the Parquet file `source` to `target` as JSON Lines, at least `bytes` long, as they were. */
async function restoreLines(source: string, target: string, bytes: number): Promise<void> {
  const rows = await rolloutsFromParquet(source);
  const lines = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(""), "utf8");
  const endsALine = bytes === 0 || lines[bytes - 1] === 0x0a;
  if (!endsALine) {
    throw new RunDirError(
      `${source} does not give back the rows that it was made of, so the run cannot go on behind them: the file was ` +
        "changed, or written by another version. Begin anew in another directory (--out).",
    );
  }
  writeWholeNow(target, lines);
}

/** `writeWhole` of `files.ts` that is done when it returns: its caller is synchronous. */
function writeWholeNow(path: string, bytes: Uint8Array): void {
  const temporary = join(path, "..", `${TEMPORARY_PREFIX}rollouts-${process.pid}`);
  try {
    onDisk(path, () => {
      const descriptor = openSync(temporary, "w");
      try {
        for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(temporary, path);
    });
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
