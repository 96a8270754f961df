/**
 * Random completions as plain text, to be read while a run goes: `completion_samples/completion_samples.txt`, and those
 * that solve their problem in `success_completion_samples.txt` beside it. Names and layout are those of Mini-R1 and the
 * scripts made after it: an empty line, a line of `=`, the completion.
 *
 * What it is not: the caller chooses the completions. A file is created when its first text is written.
 */

import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LogFile, onDisk } from "./log-file.ts";
import type { SampleFile } from "./stage-writer.ts";

/** Folder of a run directory. */
const COMPLETION_SAMPLES = "completion_samples";

const NAMES = { all: "completion_samples.txt", solved: "success_completion_samples.txt" } as const satisfies Record<
  SampleFile,
  string
>;

const FILES = Object.keys(NAMES) as SampleFile[];

/** Length of each file in bytes. */
export type SampleBytes = Readonly<Record<SampleFile, number>>;

/** The two files of a run. Failures of the file system are RunDirErrors. */
export class CompletionSamples {
  private readonly folder: string;
  private readonly open = new Map<SampleFile, LogFile>();

  /** Opens those files that are there. */
  constructor(runDirectory: string) {
    this.folder = join(runDirectory, COMPLETION_SAMPLES);
    for (const file of FILES) if (existsSync(this.pathOf(file))) this.open.set(file, new LogFile(this.pathOf(file)));
  }

  get sizeBytes(): SampleBytes {
    return { all: this.open.get("all")?.sizeBytes ?? 0, solved: this.open.get("solved")?.sizeBytes ?? 0 };
  }

  append(file: SampleFile, texts: readonly string[]): void {
    if (texts.length === 0) return;
    onDisk(this.folder, () => mkdirSync(this.folder, { recursive: true }));
    const log = this.open.get(file) ?? new LogFile(this.pathOf(file));
    this.open.set(file, log);
    log.appendText(texts.map((text) => `\n\n==============\n${text}`).join(""));
  }

  /** Cuts the files back; one of length 0 goes, and the folder with the last of them. */
  cutBack(sizeBytes: SampleBytes): void {
    for (const [file, log] of [...this.open]) {
      log.truncate(Math.min(sizeBytes[file], log.sizeBytes));
      if (log.sizeBytes > 0) continue;
      log.close();
      this.open.delete(file);
      rmSync(this.pathOf(file));
    }
    if (existsSync(this.folder) && readdirSync(this.folder).length === 0) rmdirSync(this.folder);
  }

  sync(): void {
    for (const log of this.open.values()) log.sync();
  }

  close(): void {
    for (const log of this.open.values()) log.close();
  }

  private pathOf(file: SampleFile): string {
    return join(this.folder, NAMES[file]);
  }
}
