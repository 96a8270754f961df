/**
 * The line that says how far things are. On a terminal it is rewritten in place a few times a second; anywhere else, in
 * a log file or a pipe, it is a line of its own every few seconds.
 */

import type { CommandContext } from "./command.ts";

/** Between two rewrites on a terminal. */
const REDRAW_MS = 100;
/** Between two lines where nothing can be rewritten. */
const LOG_MS = 10_000;

const CLEAR_LINE = "\r\u001b[K";

/** A line that is written where it is time to, and cleared when what it tells is over. */
export class StatusLine {
  private readonly write: (text: string) => void;
  private readonly interactive: boolean;
  private readonly columns: () => number;
  private readonly now: () => number;
  private shownAt: number;
  private visible = false;

  constructor(options: {
    readonly write: (text: string) => void;
    readonly interactive: boolean;
    readonly columns: () => number;
    readonly now?: () => number;
  }) {
    this.write = options.write;
    this.interactive = options.interactive;
    this.columns = options.columns;
    this.now = options.now ?? (() => performance.now());
    this.shownAt = this.interactive ? Number.NEGATIVE_INFINITY : this.now();
  }

  /** Shows `text` if it is time to; `important` lines, such as a stage's last, are shown at once. */
  update(text: () => string, important = false): void {
    const time = this.now();
    if (!important && time - this.shownAt < (this.interactive ? REDRAW_MS : LOG_MS)) return;
    this.shownAt = time;
    if (!this.interactive) {
      this.write(`${text()}\n`);
      return;
    }
    // A line that wraps could not be rewritten.
    this.write(`${CLEAR_LINE}${text().slice(0, this.columns() - 1)}`);
    this.visible = true;
  }

  /** Makes room for other output; the line comes back with its next update. */
  clear(): void {
    if (this.visible) this.write(CLEAR_LINE);
    this.hidden();
  }

  /** Keeps the line and continues below it. */
  keep(): void {
    if (this.visible) this.write("\n");
    this.hidden();
  }

  private hidden(): void {
    this.visible = false;
    // On a terminal the line comes back immediately; in a log file not every new task gets a line.
    this.shownAt = this.interactive ? Number.NEGATIVE_INFINITY : this.now();
  }
}

/** The status line of a command that shows how far it is on standard error. */
export function statusLineOf({ note, interactive }: Pick<CommandContext, "note" | "interactive">): StatusLine {
  return new StatusLine({ write: note, interactive, columns: () => process.stderr.columns ?? 80 });
}
