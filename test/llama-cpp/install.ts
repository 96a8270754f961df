/**
 * llama.cpp for the comparison, as node-llama-cpp's prebuilt library from the npm registry, in a folder of its own.
 *
 * It is no dependency of Aha: its optional builds for graphics cards are 670 MB. Only this machine's plain build is
 * installed, without install scripts, so nothing is compiled and nothing comes from outside the registry.
 */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const VERSION = "3.22.1";
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/llama-cpp/", import.meta.url));
/** Packages with prebuilt libraries, by platform and processor. */
const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-arm64": "mac-arm64-metal",
  "darwin-x64": "mac-x64",
  "win32-x64": "win-x64",
  "win32-arm64": "win-arm64",
};

/** What is used of node-llama-cpp; its types are not there when this is checked. */
export interface LlamaLibrary {
  readonly getLlama: (options: object) => Promise<Llama>;
}
interface Llama {
  loadModel(options: object): Promise<LlamaModel>;
}
export interface LlamaModel {
  tokenize(text: string, specialTokens: boolean): number[];
  detokenize(tokens: readonly number[], specialTokens: boolean): string;
  createContext(options: object): Promise<{ getSequence(): LlamaSequence; dispose(): Promise<void> }>;
  dispose(): Promise<void>;
}
export interface LlamaSequence {
  controlledEvaluate(
    input: readonly (number | [number, object])[],
  ): Promise<(undefined | { readonly next: { readonly probabilities?: ReadonlyMap<number, number> } })[]>;
  clearHistory(): Promise<void>;
}

/**
 * The library, installed where it is not. AHA_LLAMA_CPP names a node_modules folder that has it already. Throws an Error
 * that says what could not be had.
 */
export async function llamaLibrary(): Promise<LlamaLibrary> {
  const given = process.env.AHA_LLAMA_CPP;
  const modules = given ?? (await installed());
  const entry = join(modules, "node-llama-cpp", "dist", "index.js");
  if (!existsSync(entry)) throw new Error(`${modules} has no node-llama-cpp.`);
  return (await import(pathToFileURL(entry).href)) as LlamaLibrary;
}

async function installed(): Promise<string> {
  const modules = join(CACHE, "node_modules");
  const found = await readFile(join(modules, "node-llama-cpp", "package.json"), "utf8").catch(() => "{}");
  if ((JSON.parse(found) as { version?: string }).version === VERSION) return modules;
  const platform = PLATFORMS[`${process.platform}-${process.arch}`];
  if (platform === undefined) {
    throw new Error(`node-llama-cpp has no prebuilt library for ${process.platform} ${process.arch}.`);
  }
  await mkdir(CACHE, { recursive: true });
  await writeFile(join(CACHE, "package.json"), '{ "private": true }\n');
  const packages = [`node-llama-cpp@${VERSION}`, `@node-llama-cpp/${platform}@${VERSION}`];
  const options = [
    "--ignore-scripts",
    "--no-save",
    "--omit=optional",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--fetch-retries=1",
  ];
  console.log(`installing ${packages.join(" and ")} into ${CACHE}`);
  try {
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    await promisify(execFile)(npm, ["install", ...options, ...packages], { cwd: CACHE });
  } catch (error) {
    throw new Error(
      `Could not install ${packages.join(" and ")} from the npm registry. Without it GGUF files are not compared with ` +
        `llama.cpp. Set AHA_LLAMA_CPP to a node_modules folder that has it, or correct this:\n${reasonOf(error)}`,
    );
  }
  return modules;
}

/** What npm printed first: the rest is its stack. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error);
  const lines = text.split("\n").filter((line) => line.startsWith("npm error"));
  return (lines.length > 0 ? lines.slice(0, 6) : [text]).join("\n");
}
