/**
 * Benches and peers in processes of their own: a process keeps the memory that it once took, so a peak is that of one
 * measurement only where nothing else was measured in its process.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AhaError } from "../src/errors.ts";
import { type BenchOptions, commandLine } from "./options.ts";

const run = promisify(execFile);

/** Numbers by name. */
export type NumbersByName = Readonly<Record<string, number>>;

/** A bench of ours. */
export function measureApart(name: string, options: BenchOptions): Promise<NumbersByName> {
  const bench = fileURLToPath(new URL("./main.ts", import.meta.url));
  return figuresOf(process.execPath, ["--import", "tsx", bench, name, ...commandLine(options), "--no-trl", "--json"]);
}

/** A script of `peers/`, run by `options.python`, with those of the options that it has and `more` of its own. */
export function measurePeer(
  script: string,
  options: BenchOptions,
  names: readonly (keyof BenchOptions & string)[],
  more: readonly string[] = [],
): Promise<NumbersByName> {
  const path = fileURLToPath(new URL(`./peers/${script}`, import.meta.url));
  const flags = names.flatMap((name) => [`--${name}`, String(options[name])]);
  const checkpointing = options["gradient-checkpointing"] ? ["--gradient-checkpointing"] : [];
  return figuresOf(options.python, [path, options.model, ...flags, ...checkpointing, ...more]);
}

async function figuresOf(program: string, args: readonly string[]): Promise<NumbersByName> {
  try {
    const { stdout } = await run(program, args, { maxBuffer: 1 << 26 });
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as NumbersByName;
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new AhaError(`${args.join(" ")} failed: ${stderr?.trim().split("\n").slice(-4).join("\n") ?? String(error)}`);
  }
}

/** Whether this Python has what the peers import, and `more`. */
export async function hasPeers(python: string, more: readonly string[] = []): Promise<boolean> {
  const modules = ["torch", "transformers", "trl", "datasets", "accelerate", ...more];
  const find = `import sys, importlib.util as u; sys.exit(any(u.find_spec(m) is None for m in ${JSON.stringify(modules)}))`;
  return run(python, ["-c", find]).then(
    () => true,
    () => false,
  );
}
