/**
 * Warnings about devices: `process.emitWarning`, so that programs hear them (`process.on("warning")`), and whoever opens a model
 * need not pass them on. `aha` prints them as its own.
 */

/** `name` of these warnings. */
export const AHA_WARNING = "AhaWarning";

const said = new Set<string>();

/** Gives a warning, once in this process. */
export function warnOnce(message: string): void {
  if (said.has(message)) return;
  said.add(message);
  process.emitWarning(message, AHA_WARNING);
}
