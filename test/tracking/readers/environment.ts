/** A Python with the four trackers in a virtual environment of its own, in node_modules/.cache. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CACHE = fileURLToPath(new URL("../../../node_modules/.cache/trackers/", import.meta.url));
/** Module, and the package that brings it. mlflow 3.18 names a part that was not everywhere to be had. */
const NEEDED: Readonly<Record<string, string>> = {
  tensorboard: "tensorboard==2.21.*",
  trackio: "trackio==0.43.*",
  swanlab: "swanlab==0.10.*",
  mlflow: "mlflow==3.17.*",
};

const run = promisify(execFile);

/**
 * The folder of its programs. PYTHON names the interpreter that makes the environment; TRACKERS_VENV one that has everything.
 * Throws an Error that says what is missing and what to do.
 */
export async function pythonWithTrackers(): Promise<string> {
  const own = process.env.TRACKERS_VENV;
  const given = process.env.PYTHON ?? "python3";
  const asked = await run(given, ["-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"]).catch(
    () => undefined,
  );
  if (asked === undefined) {
    throw new Error(
      `there is no ${given} with the modules venv and ensurepip: install Python 3.10 or later (on Debian python3 and ` +
        "python3-venv), or name another one (PYTHON=…)",
    );
  }
  const [major, minor] = asked.stdout.trim().split(" ").map(Number) as [number, number];
  if (major < 3 || minor < 10) throw new Error(`${given} is Python ${major}.${minor}; the trackers need 3.10 or later`);
  const folder = own ?? join(CACHE, `python${major}.${minor}`);
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (!existsSync(python)) {
    await mkdir(CACHE, { recursive: true });
    await run(given, ["-m", "venv", folder]);
  }
  const missing = await missingModules(python);
  if (missing.length > 0) {
    const packages = missing.map((name) => NEEDED[name]!);
    console.log(`installing ${packages.join(", ")} into ${folder} (some hundred MB, once)`);
    await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages], {
      maxBuffer: 2 ** 26,
    }).catch((error: { stderr?: string }) => {
      throw new Error(
        `pip could not install ${packages.join(", ")}; a package index has to be reached once: ` +
          `${error.stderr?.trim().slice(-600)}`,
      );
    });
    const still = await missingModules(python);
    if (still.length > 0) throw new Error(`${still.join(", ")} cannot be found in ${folder}; delete it and try again`);
  }
  return dirname(python);
}

async function missingModules(python: string): Promise<string[]> {
  const names = JSON.stringify(Object.keys(NEEDED));
  const code = `import importlib.util, json\nprint(json.dumps([n for n in ${names} if importlib.util.find_spec(n) is None]))`;
  return JSON.parse((await run(python, ["-c", code])).stdout) as string[];
}
