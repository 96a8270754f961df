/**
 * A log of a run that is read while it grows: each call of `poll` gives the lines that are new since the last one.
 *
 * Unlike `readLog`, which refuses a damaged log, this one goes on: a line that is not a JSON object is left out and
 * counted, a last line without its newline waits for its rest. A resume cuts logs back, and may have written them on by
 * the time somebody looks: a file that is shorter than before, is another file, or does not have the same bytes any more
 * where reading stopped, is read from its beginning, and `restarted` says so.
 */

import { type FileHandle, open } from "node:fs/promises";

const LINE_FEED = 0x0a;
/** Read at once. */
const CHUNK_BYTES = 2 ** 20;
/** How many bytes before the place where reading stopped are compared. */
const SEAM_BYTES = 64;
/** A line beyond this is no row of ours, and is not kept in memory. */
const MAX_LINE_BYTES = 2 ** 26;
/** Damaged lines that are told one by one; all are counted. */
const TOLD_DAMAGES = 5;

/** A line, and where in the file it stands. */
export interface TailRow {
  readonly value: Readonly<Record<string, unknown>>;
  readonly start: number;
  /** Behind its line feed. */
  readonly end: number;
}

/** What is new in a log. */
export interface TailNews {
  /** Rows that were told before are not valid any more; `rows` are all that there are. */
  readonly restarted: boolean;
  readonly rows: readonly TailRow[];
}

/** One log. It is never written to, and closed between two polls. */
export class LogTail {
  /** May be changed where the file was renamed. */
  path: string;
  /** Numbers of the first damaged lines, from 1 on. */
  readonly damagedLines: number[] = [];
  damaged = 0;
  private file: string | undefined;
  private place = 0;
  private line = 0;
  private seam = Buffer.alloc(0);

  constructor(path: string) {
    this.path = path;
  }

  /** What is new; nothing where the file is not there. Throws what the file system throws, but for that. */
  async poll(): Promise<TailNews> {
    const rows: TailRow[] = [];
    let restarted = false;
    await this.pollEach(
      (row) => void rows.push(row),
      () => {
        restarted = true;
      },
    );
    return { restarted, rows };
  }

  /** The same one by one, for logs that are larger than memory; `onRestart` is called before the first row. */
  async pollEach(onRow: (row: TailRow) => void, onRestart: () => void): Promise<void> {
    let handle: FileHandle;
    try {
      handle = await open(this.path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      if (this.place > 0) onRestart();
      this.restart();
      return;
    }
    try {
      if (!(await this.goesOn(handle))) {
        this.restart();
        onRestart();
      }
      const { size, dev, ino } = await handle.stat();
      this.file = `${dev}:${ino}`;
      if (size > this.place) await this.read(handle, size, onRow);
    } finally {
      await handle.close();
    }
  }

  /** Whether what was read before is still there. */
  private async goesOn(handle: FileHandle): Promise<boolean> {
    if (this.place === 0) return true;
    const { size, dev, ino } = await handle.stat();
    if (size < this.place || `${dev}:${ino}` !== this.file) return false;
    const seam = Buffer.alloc(this.seam.length);
    await handle.read(seam, 0, seam.length, this.place - seam.length);
    return seam.equals(this.seam);
  }

  private restart(): void {
    this.place = 0;
    this.line = 0;
    this.damaged = 0;
    this.damagedLines.length = 0;
    this.seam = Buffer.alloc(0);
  }

  /** Reads from where it stopped up to `end`, as far as lines are whole. */
  private async read(handle: FileHandle, end: number, onRow: (row: TailRow) => void): Promise<void> {
    let rest = Buffer.alloc(0);
    let position = this.place;
    while (position < end) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, end - position));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
      if (bytesRead === 0) break;
      position += bytesRead;
      const bytes = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      const used = this.takeLines(bytes, onRow);
      rest = bytes.subarray(used);
      if (rest.length > MAX_LINE_BYTES) break;
    }
  }

  /** Takes the whole lines of `bytes`, which begin at `place`; returns how many bytes they are. */
  private takeLines(bytes: Buffer, onRow: (row: TailRow) => void): number {
    let begin = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, begin)) {
      this.line++;
      const value = objectIn(bytes.toString("utf8", begin, end));
      if (value !== undefined) onRow({ value, start: this.place + begin, end: this.place + end + 1 });
      else this.noteDamage();
      begin = end + 1;
    }
    this.place += begin;
    if (begin > 0) this.seam = Buffer.from(bytes.subarray(Math.max(0, begin - SEAM_BYTES), begin));
    return begin;
  }

  private noteDamage(): void {
    this.damaged++;
    if (this.damagedLines.length < TOLD_DAMAGES) this.damagedLines.push(this.line);
  }
}

/** The object that a line holds; undefined where it holds none. */
export function objectIn(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
