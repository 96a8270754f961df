/**
 * An append-only file, either JSON Lines or plain text for people. When `append` returns, the operating system has the
 * line, so that a killed process loses nothing; `sync` puts it on the disk, which a checkpoint asks for before it pins
 * the length.
 */

import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import type { z } from "zod";
import { RunDirError } from "../errors.ts";
import { systemReason } from "../files.ts";

const LINE_FEED = 0x0a;

/** One open log of a run. Failures of the file system are RunDirErrors. */
export class LogFile {
  readonly path: string;
  private readonly descriptor: number;
  private length: number;

  /** Opens for appending; the file is made where it does not exist. */
  constructor(path: string) {
    this.path = path;
    this.descriptor = onDisk(path, () => openSync(path, "a"));
    this.length = fstatSync(this.descriptor).size;
  }

  /** Length in bytes, everything appended so far included. */
  get sizeBytes(): number {
    return this.length;
  }

  /** Appends one line per record, all in one write. */
  append(records: readonly object[]): void {
    if (records.length === 0) return;
    this.appendText(records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  }

  /** Appends text as it is, in one write. */
  appendText(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    // The operating system may take only a part at a time.
    for (let written = 0; written < bytes.length; ) {
      written += onDisk(this.path, () => writeSync(this.descriptor, bytes, written));
    }
    this.length += bytes.length;
  }

  /** Cuts the file back to its first `sizeBytes` bytes. */
  truncate(sizeBytes: number): void {
    onDisk(this.path, () => ftruncateSync(this.descriptor, sizeBytes));
    this.length = sizeBytes;
  }

  /**
   * Cuts off a last line without its newline: a killed process may leave one, and the next line would be appended to
   * it.
   */
  dropPartialLine(): void {
    const end = readFileSync(this.path).lastIndexOf(LINE_FEED) + 1;
    if (end < this.length) this.truncate(end);
  }

  sync(): void {
    onDisk(this.path, () => fsyncSync(this.descriptor));
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

/** What `work`, a call on the file `path`, returns; a refusal of the operating system is a RunDirError. */
export function onDisk<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new RunDirError(`Cannot write ${path}: ${reason}. Correct this, and go on with --resume.`);
  }
}

/**
 * Reads a log. A last line without its newline is one that is just being written, or was cut by a crash: it is left
 * out. Throws RunDirError with file and line for anything else that is not a record of `schema`.
 */
export function readLog<T>(path: string, schema: z.ZodType<T>): T[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop();
  return lines.map((line, index) => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new RunDirError(`${path}:${index + 1} is not JSON; the log was changed by something other than Aha.`);
    }
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new RunDirError(
      `${path}:${index + 1}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unexpected form"}.`,
    );
  });
}
