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
export interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  /** Where the sources are: provenance is compared with it. */
  readonly repository?: string | { readonly url: string };
  readonly private?: boolean;
  readonly [key: string]: unknown;
}

/** The package.json that is published: without what only the clone needs, with the platforms' packages and the browser's. */
export function publishedManifest(manifest: Manifest, runtimeVersion: string): Record<string, unknown> {
  const { private: _private, scripts: _scripts, devDependencies, dependencies, ...kept } = manifest;
  const { "onnxruntime-node": _runtime, ...others } = dependencies;
  return {
    ...kept,
    dependencies: others,
    // `aha-rl/web` loads its files, of this very version. It takes 139 MB, so nobody gets it who does not ask for it.
    peerDependencies: { "onnxruntime-web": devDependencies["onnxruntime-web"] },
    peerDependenciesMeta: { "onnxruntime-web": { optional: true } },
    optionalDependencies: Object.fromEntries(PLATFORMS.map((platform) => [packageName(platform), runtimeVersion])),
  };
}

/** The package.json of a platform's package. */
export function platformManifest(
  platform: Platform,
  version: string,
  repository?: Manifest["repository"],
): Record<string, unknown> {
  const { os, cpu, files } = platform;
  return {
    name: packageName(platform),
    version,
    description: `ONNX Runtime's library for ${os} ${cpu}, unchanged from onnxruntime-node ${version}; a part of aha-rl`,
    license: "MIT",
    homepage: "https://onnxruntime.ai",
    ...(repository !== undefined && { repository }),
    os: [os],
    cpu: [cpu],
    ...(os === "linux" && { libc: ["glibc"] }),
    files,
    exports: { "./package.json": "./package.json" },
    preferUnplugged: true,
  };
}

/** A tarball in release/out. */
export interface Packed {
  readonly name: string;
  readonly version: string;
  readonly path: string;
  /** `sha512-…`, as registries and lock files have it. */
  readonly integrity: string;
}

async function packPlatform(
  platform: Platform,
  official: string,
  manifest: Manifest,
  version: string,
): Promise<Packed> {
  const { os, cpu, files } = platform;
  const folder = join(out, "staging", `${os}-${cpu}`);
  await mkdir(folder, { recursive: true });
  for (const file of files) {
    await copyFile(join(official, "bin", "napi-v6", os, cpu, file), join(folder, file));
  }
  await copyFile(join(root, "release", "onnxruntime-LICENSE"), join(folder, "LICENSE"));
  await writeJson(join(folder, "package.json"), platformManifest(platform, version, manifest.repository));
  return await packFolder(folder);
}

async function packAha(manifest: Manifest, runtimeVersion: string): Promise<Packed> {
  const folder = join(out, "staging", "aha-rl");
  await mkdir(folder, { recursive: true });
  const listed = manifest.files as readonly string[];
  const left = listed.filter((name) => name.startsWith("!")).map((name) => join(root, name.slice(1)));
  const isPart = (path: string) => !path.endsWith(".tsbuildinfo") && !left.includes(path);
  for (const name of listed.filter((name) => !name.startsWith("!"))) {
    await cp(join(root, name), join(folder, name), { recursive: true, filter: isPart });
  }
  await writeJson(join(folder, "package.json"), publishedManifest(manifest, runtimeVersion));
  return await packFolder(folder);
}

async function packFolder(folder: string): Promise<Packed> {
  const { stdout } = await run(npm, ["pack", folder, "--json", "--pack-destination", out], { maxBuffer: 2 ** 26 });
  const [packed] = JSON.parse(stdout) as [NpmPacked];
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${packed.filename}: ${megabytes(packed.size)}, ${megabytes(packed.unpackedSize)} installed`);
  const { name, version, integrity, filename } = packed;
  return { name, version, integrity, path: join(out, filename) };
}

/** What `npm pack --json` says of a tarball. */
interface NpmPacked {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly integrity: string;
  readonly size: number;
  readonly unpackedSize: number;
}

function writeJson(path: string, content: unknown): Promise<void> {
  return writeFile(path, `${JSON.stringify(content, null, 2)}\n`);
}

/** The clone's package.json. */
export async function readManifest(): Promise<Manifest> {
  return JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Manifest;
}

/** Packs aha-rl and the libraries of these platforms, which it lists before it. */
export async function packAll(platforms: readonly Platform[]): Promise<readonly Packed[]> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await run(npm, ["run", "--silent", "build"], { cwd: root });
  const official = await fetchOfficialPackage(root, join(out, "official"));
  const { version } = await lockedPackage(root);
  const manifest = await readManifest();
  const packed: Packed[] = [];
  for (const platform of platforms) packed.push(await packPlatform(platform, official, manifest, version));
  packed.push(await packAha(manifest, version));
  await rm(join(out, "official"), { recursive: true });
  await rm(join(out, "staging"), { recursive: true });
  return packed;
}

/** All platforms, or with `--this-platform` only what this machine installs. */
export function chosenPlatforms(args: readonly string[]): readonly Platform[] {
  const isHere = ({ os, cpu }: Platform) => os === process.platform && cpu === process.arch;
  return args.includes("--this-platform") ? PLATFORMS.filter(isHere) : PLATFORMS;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await packAll(chosenPlatforms(process.argv.slice(2)));
