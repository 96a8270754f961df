/** `aha --version` and `aha --help` load next to nothing: what a command needs is loaded when it runs. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { PROGRAM, requireProgram } from "./program.ts";

/** What Node itself needs is about 40 ms of the 150 that a person should wait at most. */
const MAX_CPU_MS = 150;

beforeAll(requireProgram);

/** The files that are loaded with this one, by its imports and theirs, and the packages. */
function loadedWith(path: string, found = new Set<string>()): ReadonlySet<string> {
  if (found.has(path)) return found;
  found.add(path);
  if (!path.startsWith("/")) return found;
  const code = readFileSync(path, "utf8");
  for (const [, target] of code.matchAll(/^(?:import|export)\b[^;]*?\bfrom\s*"([^"]+)";/gm)) {
    if (target!.startsWith("node:")) continue;
    loadedWith(target!.startsWith(".") ? join(dirname(path), target!) : target!, found);
  }
  return found;
}

/** Tells at the end of a process how much CPU time it took. */
const METER = `data:text/javascript,${encodeURIComponent(`
  import { writeSync } from "node:fs";
  process.on("exit", () => {
    const { user, system } = process.cpuUsage();
    writeSync(2, "CPU " + (user + system));
  });
`)}`;

/** The CPU time of the program, which is nearly the same on a busy machine: the least of five. */
function cpuMs(argument: string): number {
  const times = Array.from({ length: 5 }, () => {
    const { stderr } = spawnSync(process.execPath, ["--import", METER, PROGRAM, argument], { encoding: "utf8" });
    return Number(/CPU (\d+)/.exec(stderr)![1]) / 1000;
  });
  return Math.min(...times);
}

describe("the program", () => {
  it("loads a handful of its own files, and no package, before it knows the command", () => {
    const loaded = [...loadedWith(PROGRAM)];
    expect(loaded.filter((path) => !path.startsWith("/"))).toEqual([]);
    expect(loaded.length).toBeLessThanOrEqual(6);
  });

  it.each(["--version", "--help"])(`takes less than ${MAX_CPU_MS} ms for %s`, (argument) => {
    expect(cpuMs(argument)).toBeLessThan(MAX_CPU_MS);
  });
});
