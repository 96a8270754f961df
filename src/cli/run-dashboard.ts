/** `aha run --dashboard`: the page of what is run, as long as it runs. */

import { relative, resolve, sep } from "node:path";
import { dashboardOnThread } from "../dashboard/on-thread.ts";
import type { CommandContext } from "./command.ts";

/** Where dashboards listen, or the next port that is free. */
export const DASHBOARD_PORT = 6200;

/** Help lines of the option. */
export const DASHBOARD_HELP =
  "  --dashboard       a page that shows the run while it goes on, on 127.0.0.1 (aha dashboard shows it afterwards)";

/** Starts it where it is `wanted` and says where it is; returns how to end it. Without a free port the run goes on alone. */
export async function openRunDashboard(
  wanted: boolean | undefined,
  directory: string,
  { note }: Pick<CommandContext, "note">,
): Promise<() => Promise<void>> {
  if (wanted !== true) return async () => {};
  const from = process.cwd();
  const onDefect = (error: unknown) =>
    note(`The dashboard: ${error instanceof Error ? error.message : String(error)}\n`);
  try {
    const roots = [resolve(directory)];
    const { url, close } = await dashboardOnThread({ roots, from, port: DASHBOARD_PORT, anyPort: true, onDefect });
    note(
      `The dashboard is at ${url}, as long as the run goes on; later: aha dashboard ${relative(from, directory).split(sep).join("/")}\n`,
    );
    return close;
  } catch (error) {
    note(`Warning: there is no dashboard: ${error instanceof Error ? error.message : String(error)}\n`);
    return async () => {};
  }
}
