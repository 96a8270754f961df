/**
 * `npm run build:web`: R1 in a browser tab as files in dist/web/, which any host of static files can serve.
 *
 * It fails where a module of Node gets into a bundle, or where what the first visit loads is more than 20 MB compressed.
 */

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { type BuildOptions, build, type Metafile } from "esbuild";
import { bundleTab } from "../src/inspect/page-bundle.ts";
import { rawTexts } from "../src/inspect/raw-texts.ts";
import type { ListedFile, ListedFiles } from "../src/web/fetched-file.ts";

const SRC = new URL("../src/", import.meta.url);
const COLD_START = new URL("cold-start/", import.meta.url);
const TARGET = new URL("../dist/web/", import.meta.url);
const MOST_FIRST_BYTES = 20_000_000;
const MODULES = ["ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];
const GPU_MODULES = ["ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"];

type Files = Map<string, Uint8Array>;

/** Makes the page's files. Throws Error where they cannot be. */
export async function buildWeb(): Promise<{ readonly files: Files; readonly firstBytes: number }> {
  const files: Files = new Map();
  const { html, script, style } = await bundleTab(new URL("page/", SRC));
  const worker = await bundle("web/browser/worker.ts", { format: "esm" });
  put(files, "index.html", html);
  put(files, "page.js", script);
  put(files, "page.css", style);
  put(files, "worker.js", worker.text);
  for (const name of [...MODULES, ...GPU_MODULES]) files.set(name, await readFile(ortFile(name)));
  files.set("cold-start.safetensors", await coldStart());
  const listed: ListedFiles = {
    wasm: listedFile(files, MODULES[1]!),
    webgpu: listedFile(files, GPU_MODULES[1]!),
    coldStart: listedFile(files, "cold-start.safetensors"),
  };
  put(files, "files.json", JSON.stringify(listed, null, 2));
  put(files, "licenses.txt", await licenses(worker.metafile));
  const first = ["./", ...[...files.keys()].filter((name) => !GPU_MODULES.includes(name) && name !== "licenses.txt")];
  const version = createHash("sha256");
  for (const [name, bytes] of files) version.update(name).update(bytes);
  const serviceWorker = await bundle("web/browser/service-worker.ts", {
    format: "iife",
    define: { AHA_VERSION: JSON.stringify(version.digest("hex").slice(0, 16)), AHA_FIRST_FILES: JSON.stringify(first) },
  });
  put(files, "service-worker.js", serviceWorker.text);
  const compressed = [...first, "service-worker.js"]
    .map((name) => files.get(name))
    .filter((bytes) => bytes !== undefined);
  const firstBytes = compressed.reduce((sum, bytes) => sum + gzipSync(bytes).length, 0);
  if (firstBytes > MOST_FIRST_BYTES) {
    throw new Error(`The first visit loads ${firstBytes} bytes (gzip); at most ${MOST_FIRST_BYTES} are allowed.`);
  }
  return { files, firstBytes };
}

function put(files: Files, name: string, text: string): void {
  files.set(name, new TextEncoder().encode(text));
}

async function bundle(entry: string, options: BuildOptions) {
  const { outputFiles, metafile } = await build({
    entryPoints: [fileURLToPath(new URL(entry, SRC))],
    ...{ bundle: true, write: false, platform: "browser", target: "es2022", minify: true, charset: "utf8" },
    ...{ legalComments: "none", logLevel: "silent", metafile: true, plugins: [rawTexts(SRC)] },
    ...options,
  });
  return { text: outputFiles![0]!.text, metafile: metafile! };
}

function ortFile(name: string): string {
  return createRequire(import.meta.url).resolve(`onnxruntime-web/${name}`);
}

function listedFile(files: Files, path: string): ListedFile {
  const bytes = files.get(path)!;
  return { path, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

async function coldStart(): Promise<Uint8Array> {
  const [bytes, about] = await Promise.all([
    readFile(new URL("model.safetensors", COLD_START)),
    readFile(new URL("cold-start.json", COLD_START), "utf8"),
  ]);
  const { sha256 } = JSON.parse(about) as { readonly sha256: string };
  if (createHash("sha256").update(bytes).digest("hex") === sha256) return bytes;
  throw new Error("release/cold-start/model.safetensors has not the hash of cold-start.json: npm run web:cold-start");
}

/** The licenses of everything that is in the files. */
async function licenses({ inputs }: Metafile): Promise<string> {
  const packages = new Set(["onnxruntime-web", "preact", "uplot", "@tanstack/virtual-core"]);
  for (const path of Object.keys(inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (found) packages.add(found[1]!);
  }
  const texts = [...packages].sort().map(async (name) => `${name}\n\n${await licenseOf(name)}`);
  return (await Promise.all(texts)).join(`\n\n${"-".repeat(80)}\n\n`);
}

async function licenseOf(name: string): Promise<string> {
  if (name === "onnxruntime-web") return readFile(new URL("onnxruntime-LICENSE", import.meta.url), "utf8");
  const folder = new URL(`../node_modules/${name}/`, import.meta.url);
  for (const file of ["LICENSE", "LICENSE.md", "LICENSE.txt"]) {
    try {
      return await readFile(new URL(file, folder), "utf8");
    } catch {
      // Another name, or only the field of package.json.
    }
  }
  const about = JSON.parse(await readFile(new URL("package.json", folder), "utf8")) as { readonly license?: string };
  return `License: ${about.license ?? "unknown"}`;
}

/** Makes them and writes them. */
export async function writeWeb(): Promise<void> {
  const { files, firstBytes } = await buildWeb();
  await rm(TARGET, { recursive: true, force: true });
  await mkdir(TARGET, { recursive: true });
  for (const [name, bytes] of files) await writeFile(new URL(name, TARGET), bytes);
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`dist/web: ${files.size} files; the first visit loads ${megabytes(firstBytes)} (gzip, at most 20 MB)`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeWeb();
