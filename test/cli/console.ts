/** A command's surroundings that remember what was printed. */

import type { CommandContext } from "../../src/cli/command.ts";

export interface RecordedConsole extends CommandContext {
  /** Everything on standard output so far. */
  readonly stdout: () => string;
  /** Everything on standard error so far. */
  readonly stderr: () => string;
}

export function recordedConsole(options: { signal?: AbortSignal; interactive?: boolean } = {}): RecordedConsole {
  let stdout = "";
  let stderr = "";
  return {
    out: (text) => {
      stdout += text;
    },
    note: (text) => {
      stderr += text;
    },
    signal: options.signal ?? new AbortController().signal,
    interactive: options.interactive ?? false,
    stdout: () => stdout,
    stderr: () => stderr,
  };
}
