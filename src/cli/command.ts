/**
 * What a command of the `aha` program is: one file per command exports one of these; `main.ts` finds it by name, and
 * has the line about it that `aha --help` prints.
 */

/** Where a command writes, and how it learns of Ctrl-C. */
export interface CommandContext {
  /** Results, for people or (with --json) for programs. */
  readonly out: (text: string) => void;
  /** Progress and notes: standard error. */
  readonly note: (text: string) => void;
  /** Aborted by the first Ctrl-C (SIGINT) or SIGTERM; the command stops cleanly, its state saved. */
  readonly signal: AbortSignal;
  /** True where standard error is a terminal: progress may rewrite its line. */
  readonly interactive: boolean;
}

export interface Command {
  /** The whole text of `aha NAME --help`: usage, options with defaults, an example. */
  readonly help: string;
  /** Throws an AhaError for anything the user can correct; returns the exit code. */
  readonly run: (args: readonly string[], context: CommandContext) => Promise<number>;
}
