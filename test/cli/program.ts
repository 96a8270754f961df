/** The built program as a process of its own. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** What `npm run build` makes. */
export const PROGRAM = join(import.meta.dirname, "../../dist/cli/main.js");

/** Throws where the program was not built. */
export function requireProgram(): void {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first (npm test does).`);
}

/** How a process ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** Runs the program to its end. `node`: options of Node's own. */
export function runProgram(
  args: readonly string[],
  {
    node = [],
    environment = {},
  }: { readonly node?: readonly string[]; readonly environment?: Record<string, string> } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...node, PROGRAM, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...environment },
  });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return new Promise((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, stderr }));
  });
}
