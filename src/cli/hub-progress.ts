/** Downloads and uploads as a person follows them: a bar on a terminal, plain lines in a log, or JSON lines. */

import type { PullProgress } from "../hub/pull.ts";
import type { PushProgress } from "../hub/push.ts";
import { clock, sizeText } from "../number-text.ts";
import type { CommandContext } from "./command.ts";
import { StatusLine } from "./terminal-line.ts";
import { bar } from "./terminal-progress.ts";

/** Between two JSON lines about the same download. */
const JSON_MS = 1000;
/** Over a shorter time a speed is not reliable. */
const MIN_SPEED_MS = 500;

/** How it is shown; `quiet` shows notes alone. */
export type HubProgressMode = "text" | "json" | "quiet";

export class HubProgress {
  private readonly mode: HubProgressMode;
  private readonly write: (text: string) => void;
  private readonly status: StatusLine;
  private current: string | undefined;
  private startedAt = 0;
  private startBytes = 0;
  private writtenAt = Number.NEGATIVE_INFINITY;

  /** JSON lines go to `jsonTo`; everything else to standard error. */
  constructor(context: CommandContext, mode: HubProgressMode, jsonTo: (text: string) => void = context.note) {
    this.mode = mode;
    this.write = mode === "json" ? jsonTo : context.note;
    const { note, interactive } = context;
    this.status = new StatusLine({ write: note, interactive, columns: () => process.stderr.columns ?? 100 });
  }

  /** Takes a download's progress; may be passed on its own. */
  readonly pull = (progress: PullProgress): void => {
    const { reference, commit, files, filesDone, bytes, bytesDone } = progress;
    const isNew = this.begin(`${reference.name} ${commit}`, bytesDone);
    const isDone = filesDone === files;
    if (this.mode === "json") {
      const about = { type: "downloading", name: reference.name, commit };
      this.json({ ...about, filesDone, files, bytesDone, bytes }, isNew || isDone);
    } else if (this.mode === "text") {
      if (isNew) this.line(`Downloading ${reference.name} (commit ${commit.slice(0, 12)}): ${amount(files, bytes)}`);
      const text = () =>
        `  ${this.share(bytesDone, bytes)}  ${filesDone}/${files} files${this.speed(bytesDone, bytes)}`;
      this.status.update(text, isDone);
      if (isDone) this.status.keep();
    }
  };

  /** Takes an upload's progress; may be passed on its own. */
  readonly push = (progress: PushProgress): void => {
    const { phase, bytesDone, bytes, files } = progress;
    const isNew = this.begin(phase, bytesDone);
    if (this.mode === "json") this.json({ type: phase, files, bytesDone, bytes }, isNew);
    else if (this.mode === "text") {
      if (isNew) this.line(`${PHASES[phase]} ${amount(files, bytes)}`);
      if (phase !== "committing") {
        this.status.update(() => `  ${this.share(bytesDone, bytes)}${this.speed(bytesDone, bytes)}`);
      }
    }
  };

  /** Takes what a person should know; may be passed on its own. */
  readonly note = (text: string): void => {
    if (this.mode === "json") this.write(`${JSON.stringify({ type: "note", text })}\n`);
    else this.line(text);
  };

  /** Clears the progress line, so that other output can follow. */
  end(): void {
    this.status.keep();
  }

  private begin(name: string, bytesDone: number): boolean {
    if (this.current === name) return false;
    this.current = name;
    this.startedAt = performance.now();
    this.startBytes = bytesDone;
    return true;
  }

  private json(line: object, isImportant: boolean): void {
    const now = performance.now();
    if (!isImportant && now - this.writtenAt < JSON_MS) return;
    this.writtenAt = now;
    this.write(`${JSON.stringify(line)}\n`);
  }

  private line(text: string): void {
    this.status.clear();
    this.write(`${text}\n`);
  }

  private share(bytesDone: number, bytes: number): string {
    return `${bar(bytes === 0 ? 1 : bytesDone / bytes)} ${sizeText(bytesDone)} of ${sizeText(bytes)}`;
  }

  private speed(bytesDone: number, bytes: number): string {
    const passedMs = performance.now() - this.startedAt;
    if (passedMs < MIN_SPEED_MS || bytesDone <= this.startBytes) return "";
    const perSecond = ((bytesDone - this.startBytes) / passedMs) * 1000;
    const left = bytesDone < bytes ? `  ${clock((bytes - bytesDone) / perSecond)} left` : "";
    return `  ${sizeText(perSecond)}/s${left}`;
  }
}

const PHASES: Readonly<Record<PushProgress["phase"], string>> = {
  hashing: "Reading",
  uploading: "Uploading",
  committing: "Committing",
};

function amount(files: number, bytes: number): string {
  return `${files === 1 ? "1 file" : `${files} files`}, ${sizeText(bytes)}`;
}
