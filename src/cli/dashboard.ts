/** `aha dashboard`: shows runs in a browser, while they go on and afterwards. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { Dashboard } from "../dashboard/server.ts";
import { ConfigError, RunDirError } from "../errors.ts";
import { findRuns } from "../inspect/find-runs.ts";
import type { Command } from "./command.ts";
import { numberOption, parseOptions } from "./parse-options.ts";
import { DASHBOARD_PORT } from "./run-dashboard.ts";

/** Where runs go that are not told where. */
const RUNS = "runs";
const HELP = `Usage: aha dashboard [RUNS…] [--port N] [--json]

Shows runs and pipelines on a page in your browser: curves, every sampled completion with its rewards, held-out results,
where the time goes, and runs side by side. The page follows a run while it is written, and only reads: the one thing that
it can do to a run is to ask it to stop, as Ctrl-C does.

RUNS are run directories, pipelines, or folders of them (${RUNS}). The page is for this machine alone (127.0.0.1); from
another one, forward the port: ssh -L ${DASHBOARD_PORT}:127.0.0.1:${DASHBOARD_PORT} HOST.

Options
  --port N   where to listen; 0 takes any free port (${DASHBOARD_PORT}, or the next one that is free)
  --json     say where it listens in one JSON line {"url", "port", "pid"}

Examples
  aha dashboard
  aha dashboard runs/countdown-tiny-1 runs/countdown-tiny-2
`;

const OPTIONS = { port: { type: "string" }, json: { type: "boolean", default: false } } as const;

/** `aha dashboard`. */
export const dashboardCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["directory", "directory", "directory"] },
  run: async (args, context) => {
    const { options, roots } = split(args);
    const { values } = parseOptions("dashboard", options, OPTIONS);
    requireRuns(roots);
    const isPort = (value: number) => Number.isInteger(value) && value >= 0 && value <= 65_535;
    const port =
      values.port === undefined
        ? DASHBOARD_PORT
        : numberOption("port", values.port, isPort, "a whole number from 0 to 65535");
    const dashboard = await Dashboard.listen({
      roots: roots.length > 0 ? roots : [RUNS],
      from: process.cwd(),
      port,
      anyPort: values.port === undefined,
      onDefect: (error) => context.note(`aha dashboard: ${error instanceof Error ? error.stack : String(error)}\n`),
    });
    const { url } = dashboard;
    if (values.json) context.out(`${JSON.stringify({ url, port: dashboard.port, pid: process.pid })}\n`);
    else context.out(`The dashboard is at ${url} (Ctrl-C ends it).\n`);
    await new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      else context.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await dashboard.close();
    return 0;
  },
};

/** Options, and the directories before, between or behind them. */
function split(args: readonly string[]): { readonly options: string[]; readonly roots: string[] } {
  const options: string[] = [];
  const roots: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const argument = args[i]!;
    if (!argument.startsWith("-")) roots.push(argument);
    else options.push(argument, ...(argument === "--port" && i + 1 < args.length ? [args[++i]!] : []));
  }
  return { options, roots };
}

/** Refuses a path that shows nothing. A folder that is empty may get runs later. */
function requireRuns(roots: readonly string[]): void {
  for (const root of roots) {
    if (!existsSync(root)) throw new ConfigError(`${root} does not exist. Give run directories, or a folder of them.`);
    if (!statSync(root).isDirectory()) {
      throw new RunDirError(`${root} is a file. Give the run's directory, the one that has recipe.yaml in it.`);
    }
    if (findRuns([root], process.cwd()).length === 0 && readdirSync(root).length > 0) {
      throw new RunDirError(
        `${root} has no run in it: a run's directory has recipe.yaml, a pipeline's pipeline.yaml. Give one, or a folder of them.`,
      );
    }
  }
}
