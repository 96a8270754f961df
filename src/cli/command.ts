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

/** What a shell offers where a value is typed: paths of a kind, a recipe's keys or stages, or names. */
export type Completes =
  | "file"
  | "directory"
  | "recipe"
  | "model"
  | "recipe-keys"
  | "stages"
  | (() => readonly string[]);

/** How a command is called: the option table that it parses its words by, and what its arguments are. */
export interface CommandSyntax {
  /** As `parseOptions` takes it; an option with a value may say what completes it. */
  readonly options: Readonly<
    Record<string, { readonly type: "string" | "boolean"; readonly multiple?: boolean; readonly completes?: Completes }>
  >;
  readonly arguments: readonly Completes[];
}

export interface Command {
  /** For shells, which complete what is typed (`aha completion`); subcommands have one each. */
  readonly syntax: CommandSyntax | { readonly subcommands: Readonly<Record<string, CommandSyntax>> };
  /** The whole text of `aha NAME --help`: usage, options with defaults, an example. */
  readonly help: string;
  /** Throws an AhaError for anything the user can correct; returns the exit code. */
  readonly run: (args: readonly string[], context: CommandContext) => Promise<number>;
}

/** The commands by name: what `aha --help` says of each, and its code, which is loaded when it runs, so that help is instant. */
export type CommandList = ReadonlyMap<string, { readonly summary: string; readonly load: () => Promise<Command> }>;
