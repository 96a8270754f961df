/**
 * `npm run release:pack`: the tarballs that are published, in release/out: one package for each platform's library, and
 * aha-rl itself, which names them as optional dependencies in place of onnxruntime-node.
 *
 * The clone keeps onnxruntime-node, which is in the registry: its two commands need nothing that has to be published first.
 * Nothing is published here; release/README.md says how the owner does it.
 */

import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fetchOfficialPackage, lockedPackage } from "./official-package.ts";
import { PLATFORMS, type Platform, packageName } from "./platforms.ts";

const run = promisify(execFile);
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const root = fileURLToPath(new URL("..", import.meta.url));
const out = join(root, "release", "out");

/** What is in package.json, as far as it is changed here. */
interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

/** The package.json that is published: without what only the clone needs, with the platforms' packages. */
export function publishedManifest(manifest: Manifest, runtimeVersion: string): Record<string, unknown> {
  const { private: _private, scripts: _scripts, devDependencies: _development, dependencies, ...kept } = manifest;
  const { "onnxruntime-node": _runtime, ...others } = dependencies;
  return {
    ...kept,
    dependencies: others,
    optionalDependencies: Object.fromEntries(PLATFORMS.map((platform) => [packageName(platform), runtimeVersion])),
  };
}

/** The package.json of a platform's package. */
export function platformManifest(platform: Platform, version: string): Record<string, unknown> {
  const { os, cpu, files } = platform;
  return {
    name: packageName(platform),
    version,
    description: `ONNX Runtime's library for ${os} ${cpu}, unchanged from onnxruntime-node ${version}; a part of aha-rl`,
    license: "MIT",
    homepage: "https://onnxruntime.ai",
    os: [os],
    cpu: [cpu],
    ...(os === "linux" && { libc: ["glibc"] }),
    files,
    exports: { "./package.json": "./package.json" },
    preferUnplugged: true,
  };
}

async function packPlatform(platform: Platform, official: string, version: string): Promise<void> {
  const { os, cpu, files } = platform;
  const folder = join(out, "staging", `${os}-${cpu}`);
  await mkdir(folder, { recursive: true });
  for (const file of files) {
    await copyFile(join(official, "bin", "napi-v6", os, cpu, file), join(folder, file));
  }
  await copyFile(join(root, "release", "onnxruntime-LICENSE"), join(folder, "LICENSE"));
  await writeJson(join(folder, "package.json"), platformManifest(platform, version));
  await packFolder(folder);
}

async function packAha(runtimeVersion: string): Promise<void> {
  const folder = join(out, "staging", "aha-rl");
  await mkdir(folder, { recursive: true });
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
  for (const name of manifest.files as readonly string[]) {
    const isPart = (path: string) => !path.endsWith(".tsbuildinfo");
    await cp(join(root, name), join(folder, name), { recursive: true, filter: isPart });
  }
  await writeJson(join(folder, "package.json"), publishedManifest(manifest, runtimeVersion));
  await packFolder(folder);
}

async function packFolder(folder: string): Promise<void> {
  const { stdout } = await run(npm, ["pack", folder, "--json", "--pack-destination", out], { maxBuffer: 2 ** 26 });
  const [packed] = JSON.parse(stdout) as [{ readonly filename: string; readonly size: number; unpackedSize: number }];
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${packed.filename}: ${megabytes(packed.size)}, ${megabytes(packed.unpackedSize)} installed`);
}

function writeJson(path: string, content: unknown): Promise<void> {
  return writeFile(path, `${JSON.stringify(content, null, 2)}\n`);
}

/** Packs everything, or with `--this-platform` only what this machine installs. */
async function main(args: readonly string[]): Promise<void> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await run(npm, ["run", "--silent", "build"], { cwd: root });
  const official = await fetchOfficialPackage(root, join(out, "official"));
  const { version } = await lockedPackage(root);
  const isHere = ({ os, cpu }: Platform) => os === process.platform && cpu === process.arch;
  for (const platform of args.includes("--this-platform") ? PLATFORMS.filter(isHere) : PLATFORMS) {
    await packPlatform(platform, official, version);
  }
  await packAha(version);
  await rm(join(out, "official"), { recursive: true });
  await rm(join(out, "staging"), { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
