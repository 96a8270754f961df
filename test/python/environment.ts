/**
 * A Python with what a comparison needs, in a folder of its own: a virtual environment in node_modules/.cache that also sees
 * what the Python that was named has, so that torch and transformers are not installed twice.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/", import.meta.url));

export interface PythonNeeds {
  /** The folder's name. */
  readonly name: string;
  /** The oldest minor version of Python 3 that will do. */
  readonly minor: number;
  /** Modules, and the package that brings each where it is missing. */
  readonly modules: Readonly<Record<string, string>>;
  /** Of these packages the ones that are installed without what they ask for. */
  readonly alone?: readonly string[];
}

const run = promisify(execFile);

/** Its interpreter. PYTHON names the one that it is made of. Throws an Error that says what is missing and what to do. */
export async function pythonWith({ name, minor: least, modules, alone = [] }: PythonNeeds): Promise<string> {
  const given = process.env.PYTHON ?? "python3";
  const asked = await run(given, ["-c", ABOUT]).catch(() => undefined);
  if (asked === undefined) {
    throw new Error(`there is no ${given}: install Python 3.${least} or later, or name another one (PYTHON=…)`);
  }
  const about = JSON.parse(asked.stdout) as { version: [number, number]; paths: string[]; hasVenv: boolean };
  const [major, minor] = about.version;
  if (major < 3 || minor < least) {
    throw new Error(`${given} is Python ${major}.${minor}; ${name} needs 3.${least} or later (PYTHON=…)`);
  }
  if (!about.hasVenv) throw new Error(`${given} has no module venv: install it (on Debian: python3-venv)`);
  const folder = join(CACHE, name, `python${major}.${minor}`);
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (!existsSync(python)) {
    await mkdir(join(CACHE, name), { recursive: true });
    await run(given, ["-m", "venv", folder]);
  }
  const { stdout: own } = await run(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  await writeFile(join(own.trim(), "given.pth"), `${about.paths.join("\n")}\n`);
  const missing = await missingModules(python, modules);
  const packages = missing.map((module) => modules[module]!);
  await install(
    python,
    folder,
    packages.filter((wanted) => !alone.includes(wanted)),
  );
  await install(
    python,
    folder,
    packages.filter((wanted) => alone.includes(wanted)),
    ["--no-deps"],
  );
  const still = await missingModules(python, modules);
  if (still.length > 0) throw new Error(`${still.join(", ")} cannot be imported in ${folder}; delete it and try again`);
  return python;
}

async function install(python: string, folder: string, packages: readonly string[], options: readonly string[] = []) {
  if (packages.length === 0) return;
  console.log(`installing ${packages.join(", ")} into ${folder}`);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...options, ...packages];
  await run(python, pip, { maxBuffer: 2 ** 26 }).catch((error: { stderr?: string }) => {
    throw new Error(`pip could not install ${packages.join(", ")}: ${error.stderr?.trim().slice(-600)}`);
  });
}

const ABOUT = `
import importlib.util, json, site, sys, sysconfig
paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
print(json.dumps({
    "version": sys.version_info[:2],
    "paths": sorted(paths),
    "hasVenv": importlib.util.find_spec("venv") is not None and importlib.util.find_spec("ensurepip") is not None,
}))
`;

async function missingModules(python: string, modules: PythonNeeds["modules"]): Promise<string[]> {
  const code = `import importlib.util, json\nprint(json.dumps([n for n in ${JSON.stringify(Object.keys(modules))} if importlib.util.find_spec(n) is None]))`;
  return JSON.parse((await run(python, ["-c", code])).stdout) as string[];
}
