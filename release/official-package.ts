/**
 * The official onnxruntime-node package, as the registry has it, compared with the hash in package-lock.json before
 * anything of it is used.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const NAME = "onnxruntime-node";

/** npm's program, which is a script on Windows. */
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** Version and hash (`sha512-…`) of the package that the clone was tested with. */
export async function lockedPackage(root: string): Promise<{ readonly version: string; readonly integrity: string }> {
  const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string } | undefined>>;
  };
  const entry = lock.packages[`node_modules/${NAME}`];
  if (entry === undefined) throw new Error(`package-lock.json has no ${NAME}.`);
  return entry;
}

/** Throws where `bytes` are not those of the hash. */
export function checkIntegrity(bytes: Uint8Array, integrity: string, what: string): void {
  const found = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  if (found !== integrity) throw new Error(`${what} has the hash ${found}, package-lock.json says ${integrity}.`);
}

/** Fetches the package into `directory`, checks it and unpacks it; returns the folder with its files. */
export async function fetchOfficialPackage(root: string, directory: string): Promise<string> {
  const { version, integrity } = await lockedPackage(root);
  await mkdir(directory, { recursive: true });
  const { stdout } = await run(npm, ["pack", `${NAME}@${version}`, "--json", "--pack-destination", directory], {
    cwd: directory,
    maxBuffer: 2 ** 24,
  });
  const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
  const tarball = join(directory, filename);
  checkIntegrity(await readFile(tarball), integrity, tarball);
  await run("tar", ["xzf", tarball, "-C", directory]);
  return join(directory, "package");
}
