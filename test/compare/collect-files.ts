/** What comparisons with Python's packages share: the files of a folder that is given, and a Python that has the packages. */

import { execFileSync, spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";

/** The folder and the Python interpreter of the command line; ends the process with a message where they are no use. */
export function readCommandLine(script: string, needs: readonly string[]): { folder: string; python: string } {
  const usage = `usage: npm run ${script} -- FOLDER [--python PYTHON]\nPYTHON (default python3) needs ${needs.join(", ")}.`;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { python: { type: "string", default: process.env.PYTHON ?? "python3" }, help: { type: "boolean" } },
  });
  const [folder] = positionals;
  if (values.help || folder === undefined) {
    console.log(usage);
    process.exit(values.help ? 0 : 2);
  }
  const python = values.python;
  if (spawnSync(python, ["-c", `import ${needs.join(", ")}`]).status !== 0) {
    console.error(`${python} lacks one of ${needs.join(", ")}. Install them, or name another with --python.\n${usage}`);
    process.exit(2);
  }
  return { folder, python };
}

/** The paths, in a folder, of the files below it whose name passes, in order. */
export async function filePathsBelow(folder: string, passes: (name: string) => boolean): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile() && passes(entry.name));
  return paths.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
}

/** What a Python script prints for this input. */
export function runPython(python: string, script: URL, input: unknown): string {
  return execFileSync(python, [script.pathname], {
    input: JSON.stringify(input),
    maxBuffer: 2 ** 31 - 1,
    encoding: "utf8",
  });
}
