/**
 * `npm run release`: publishes what `release:pack` packs, each package with its provenance, from the CI job that the owner
 * starts; `npm run release -- --dry-run` does everything but that, anywhere. release/README.md has the steps around it.
 *
 * Nothing is published where a check fails. The libraries go first: aha-rl names them by their versions. A library whose
 * version the registry has already is left as it is, provided that it has the same files.
 */

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { releaseFaults } from "./checks.ts";
import { chosenPlatforms, type Packed, packAll, readManifest } from "./pack.ts";

const run = promisify(execFile);
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const root = fileURLToPath(new URL("..", import.meta.url));

async function git(...args: readonly string[]): Promise<string[]> {
  const { stdout } = await run("git", args, { cwd: root });
  return stdout.split("\n").filter((line) => line !== "");
}

/** What the registry says of a package; undefined where it has none of that name. */
async function view(name: string, field: string): Promise<unknown> {
  try {
    const { stdout } = await run(npm, ["view", name, field, "--json"], { cwd: root });
    return stdout.trim() === "" ? undefined : JSON.parse(stdout);
  } catch (error) {
    // With --json npm says it on standard output.
    const { stdout, stderr } = error as { readonly stdout?: unknown; readonly stderr?: unknown };
    if (/\bE404\b/.test(`${String(stdout)}${String(stderr)}`)) return undefined;
    throw error;
  }
}

async function checkState(): Promise<string[]> {
  const manifest = await readManifest();
  const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as { readonly version: string };
  const { repository } = manifest;
  const versions = (await view("aha-rl", "versions")) ?? [];
  const { ACTIONS_ID_TOKEN_REQUEST_URL: github, SIGSTORE_ID_TOKEN: gitlab } = process.env;
  return releaseFaults({
    version: manifest.version,
    isPrivate: manifest.private === true,
    repository: typeof repository === "string" ? repository : repository?.url,
    changedFiles: (await git("status", "--porcelain")).map((line) => line.slice(3)),
    tags: await git("tag", "--points-at", "HEAD"),
    changelog: await readFile(join(root, "CHANGELOG.md"), "utf8"),
    lockedVersion: lock.version,
    published: [versions].flat() as string[],
    canAttest: github !== undefined || gitlab !== undefined,
  });
}

/** Publishes a tarball, or finds that the registry has it. */
async function publish({ name, version, path, integrity }: Packed, isDry: boolean): Promise<void> {
  const there = await view(`${name}@${version}`, "dist.integrity");
  if (there !== undefined) {
    if (there !== integrity) await requireSameFiles(path, `${name}@${version}`);
    console.log(`there already  ${name}@${version}`);
    return;
  }
  const how = isDry ? ["--dry-run"] : ["--provenance"];
  await run(npm, ["publish", path, "--access", "public", ...how], { cwd: root, maxBuffer: 2 ** 26 });
  console.log(`${isDry ? "would publish " : "published     "} ${name}@${version}  ${integrity}`);
}

/** Throws where the registry's package has other files than the tarball. Compressors of two versions may differ, files not. */
async function requireSameFiles(path: string, published: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "aha-release-"));
  try {
    const { stdout } = await run(npm, ["pack", published, "--json", "--pack-destination", folder], { cwd: folder });
    const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
    const [own, other] = [
      await hashesOf(path, join(folder, "own")),
      await hashesOf(join(folder, filename), join(folder, "other")),
    ];
    if (own !== other) throw new Error(`The registry has other files as ${published}:\n${other}here:\n${own}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A line for each file of a tarball, with its hash; package.json aside, which npm may order otherwise. */
async function hashesOf(tarball: string, folder: string): Promise<string> {
  await mkdir(folder);
  await run("tar", ["xzf", tarball, "-C", folder]);
  const names = (await readdir(folder, { recursive: true })).filter((name) => !name.endsWith("package.json")).sort();
  const lines: string[] = [];
  for (const name of names) {
    const path = join(folder, name);
    if (!(await stat(path)).isFile()) continue;
    lines.push(
      `${createHash("sha512")
        .update(await readFile(path))
        .digest("hex")}  ${name}\n`,
    );
  }
  return lines.join("");
}

async function main(args: readonly string[]): Promise<number> {
  const isDry = args.includes("--dry-run");
  const other = args.find((argument) => !["--dry-run", "--this-platform"].includes(argument));
  if (other !== undefined || (args.includes("--this-platform") && !isDry)) {
    console.error("Usage: npm run release [-- --dry-run [--this-platform]]");
    return 1;
  }
  const faults = await checkState();
  for (const fault of faults) console.log(`${isDry ? "not ready " : "refused   "}  ${fault}`);
  if (faults.length > 0 && !isDry) return 1;
  // The official package's hash is compared with package-lock.json before anything of it is packed.
  const packed = await packAll(chosenPlatforms(args));
  for (const each of packed) await publish(each, isDry);
  if (faults.length > 0) console.log(`${faults.length} checks fail; nothing would be published.`);
  return faults.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
