#!/usr/bin/env node
/**
 * The `aha` program: finds the command by name and lets it run.
 *
 * Here, and nowhere else, is decided what an error looks like to a user: an AhaError is one they can correct, so it is its
 * message and exit code 1; anything else is a defect of ours and keeps its stack. The first Ctrl-C asks the command to
 * stop cleanly, the second ends the process at once.
 */

import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AhaError, ConfigError, nearestName, RunInterrupted } from "../errors.ts";
import { systemReason } from "../files.ts";
import type { CommandContext, CommandList } from "./command.ts";
import { hearWarnings } from "./device-warnings.ts";

/** 128 + SIGINT: what shells expect of a program that was stopped. */
const EXIT_INTERRUPTED = 130;

/** The commands and their summaries; a command's code is only loaded when it runs, so that help is instant. */
export const COMMANDS: CommandList = new Map([
  ["init", { summary: "ask, and write a recipe", load: async () => (await import("./init.ts")).initCommand }],
  ["run", { summary: "train as a recipe says", load: async () => (await import("./run.ts")).runCommand }],
  [
    "doctor",
    { summary: "check a recipe before it is run", load: async () => (await import("./doctor.ts")).doctorCommand },
  ],
  [
    "eval",
    { summary: "measure a model on held-out problems", load: async () => (await import("./eval.ts")).evalCommand },
  ],
  ["chat", { summary: "talk to a model", load: async () => (await import("./chat.ts")).chatCommand }],
  [
    "serve",
    { summary: "answer OpenAI's API with a model", load: async () => (await import("./serve.ts")).serveCommand },
  ],
  [
    "dashboard",
    { summary: "watch runs in a browser", load: async () => (await import("./dashboard.ts")).dashboardCommand },
  ],
  ["data", { summary: "show, make and download data sets", load: async () => (await import("./data.ts")).dataCommand }],
  ["reward", { summary: "score saved completions", load: async () => (await import("./reward.ts")).rewardCommand }],
  ["track", { summary: "send a run to trackers", load: async () => (await import("./track.ts")).trackCommand }],
  [
    "model",
    {
      summary: "make, inspect, score with, download and publish models",
      load: async () => (await import("./model.ts")).modelCommand,
    },
  ],
  [
    "completion",
    {
      summary: "complete what is typed in bash, zsh or fish",
      load: async () => (await import("./completion.ts")).completionCommand(COMMANDS),
    },
  ],
]);

/** What `aha --help` prints. */
function helpText(): string {
  const lines = [...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return [
    "Aha trains language models to reason, the way DeepSeek-R1 was trained.",
    "",
    "Usage: aha COMMAND [options]",
    "",
    ...lines,
    "",
    "aha COMMAND --help tells more; aha --version tells the version.",
    "Start here: aha run recipes/countdown/tiny/recipe.yaml",
    "",
  ].join("\n");
}

/** Runs the program with these arguments and returns its exit code. */
export async function main(args: readonly string[], context: CommandContext): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      context.out(helpText());
      return 0;
    }
    if (name === "--version" || name === "-v") {
      context.out(`${version()}\n`);
      return 0;
    }
    const entry = COMMANDS.get(name);
    if (entry === undefined) throw unknownCommand(name);
    const command = await entry.load();
    if (rest.includes("--help") || rest.includes("-h")) {
      context.out(command.help.endsWith("\n") ? command.help : `${command.help}\n`);
      return 0;
    }
    return await command.run(rest, context);
  } catch (error) {
    if (error instanceof RunInterrupted) {
      context.note(`${error.message}\n`);
      return EXIT_INTERRUPTED;
    }
    const text = error instanceof AhaError ? `aha: ${error.message}` : (diskFault(error) ?? describeDefect(error));
    context.note(`${text}\n`);
    return 1;
  }
}

function unknownCommand(name: string): ConfigError {
  const nearest = nearestName(name, COMMANDS.keys());
  const hint = nearest ? `Did you mean "aha ${nearest}"?` : `There are: ${[...COMMANDS.keys()].join(", ")}.`;
  return new ConfigError(`"${name}" is not a command. ${hint}`);
}

/** Error codes of a disk that cannot be written any more, whichever call reports them. */
const DISK_FAULTS: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);

function diskFault(error: unknown): string | undefined {
  const reason = systemReason(error);
  if (reason === undefined || !DISK_FAULTS.has((error as NodeJS.ErrnoException).code)) return undefined;
  const { path } = error as NodeJS.ErrnoException;
  return `aha: Cannot write${path === undefined ? "" : ` ${path}`}: ${reason}. Correct this, and try again.`;
}

function describeDefect(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `aha: this is a defect of Aha, not of your input. Please report it with these lines:\n${stack}`;
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** The process as a command's surroundings. A reader that has gone away (`aha … | head`) ends the program quietly. */
function processContext(): CommandContext {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(EXIT_INTERRUPTED);
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(0);
      throw error;
    });
  }
  return {
    out: (text) => void process.stdout.write(text),
    note: (text) => void process.stderr.write(text),
    signal: controller.signal,
    interactive: process.stderr.isTTY === true,
  };
}

if (process.argv[1] !== undefined && isThisFile(process.argv[1])) {
  const context = processContext();
  hearWarnings(context);
  process.exitCode = await main(process.argv.slice(2), context);
}

/** Whether the program was started with this file, also through npm's link to it. */
function isThisFile(path: string): boolean {
  try {
    return realpathSync(path) === fileURLToPath(import.meta.url);
  } catch {
    return false;
  }
}
