/** Warnings of devices as the program prints them. */

import { AHA_WARNING } from "../compute/warnings.ts";
import type { CommandContext } from "./command.ts";

/** Prints the warnings of devices from now on; what else Node warns of is heard by whoever heard it before. */
export function hearWarnings({ note }: Pick<CommandContext, "note">): void {
  const others = process.listeners("warning");
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    if (warning.name === AHA_WARNING) note(`Warning: ${warning.message}\n`);
    else for (const other of others) other.call(process, warning);
  });
}
