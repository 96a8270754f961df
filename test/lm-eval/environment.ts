/**
 * A Python with lm-eval for the comparison, in a folder of its own: a virtual environment in node_modules/.cache that also
 * sees what the Python that was named has, so that torch and transformers are not installed twice.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/lm-eval/", import.meta.url));
const VERSION = "0.4.13";
/** Modules, and the package that brings each where it is missing. */
const NEEDED: Readonly<Record<string, string>> = {
  torch: "torch",
  transformers: "transformers",
  accelerate: "accelerate",
  peft: "peft",
  requests: "requests",
  aiohttp: "aiohttp",
  tenacity: "tenacity",
  lm_eval: `lm-eval==${VERSION}`,
};

const run = promisify(execFile);

/** Its interpreter. Throws an Error that says what is missing and what to do. */
export async function pythonWithLmEval(): Promise<string> {
  const given = process.env.PYTHON ?? "python3";
  const asked = await run(given, ["-c", ABOUT]).catch(() => undefined);
  if (asked === undefined) {
    throw new Error(`there is no ${given}: install Python 3.10 or later, or name another one (PYTHON=…)`);
  }
  const about = JSON.parse(asked.stdout) as { version: [number, number]; paths: string[]; hasVenv: boolean };
  const [major, minor] = about.version;
  if (major < 3 || minor < 10) throw new Error(`${given} is Python ${major}.${minor}; lm-eval needs 3.10 or later`);
  if (!about.hasVenv) throw new Error(`${given} has no module venv: install it (on Debian: python3-venv)`);
  const folder = join(CACHE, `python${major}.${minor}`);
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  if (!existsSync(python)) {
    await mkdir(CACHE, { recursive: true });
    await run(given, ["-m", "venv", folder]);
  }
  const { stdout: own } = await run(python, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
  await writeFile(join(own.trim(), "given.pth"), `${about.paths.join("\n")}\n`);
  const missing = await missingModules(python);
  if (missing.length > 0) {
    const packages = missing.map((name) => NEEDED[name]!);
    console.log(`installing ${packages.join(", ")} into ${folder}`);
    await run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages], {
      maxBuffer: 2 ** 26,
    }).catch((error: { stderr?: string }) => {
      throw new Error(`pip could not install ${packages.join(", ")}: ${error.stderr?.trim().slice(-600)}`);
    });
    const still = await missingModules(python);
    if (still.length > 0)
      throw new Error(`${still.join(", ")} cannot be imported in ${folder}; delete it and try again`);
  }
  return python;
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

async function missingModules(python: string): Promise<string[]> {
  const code = `import importlib.util, json\nprint(json.dumps([n for n in ${JSON.stringify(Object.keys(NEEDED))} if importlib.util.find_spec(n) is None]))`;
  return JSON.parse((await run(python, ["-c", code])).stdout) as string[];
}
