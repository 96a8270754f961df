/** The documents name files that there are, and every reward. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { loadRecipe } from "../src/recipe/load.ts";
import { rewards } from "../src/rewards/registry.ts";
import { shortStartOverrides, TINY_RECIPE } from "./webgpu/short-start.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`),
]
  .filter((path) => path.endsWith(".md"))
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

/** `a/{b,c}.ts` as a/b.ts and a/c.ts. */
function withoutBraces(path: string): string[] {
  const [, before, choices, after] = /^(.*)\{(.+)\}(.*)$/.exec(path) ?? [];
  return choices === undefined ? [path] : choices.split(",").map((choice) => `${before}${choice}${after}`);
}

/** Paths between backticks: those of a folder of the repository, and of source files as from src/. */
function namedPaths(text: string): string[] {
  return [...text.matchAll(/`([\w.-]+\/[^`\s]*)`/g)].flatMap(([, path]) => {
    const [first] = path!.split("/");
    const isWhole = ["src", "test", "docs", "bench", "recipes", "examples"].includes(first!);
    return isWhole || path!.endsWith(".ts") ? withoutBraces(path!) : [];
  });
}

const isThere = (path: string) => existsSync(join(root, path)) || existsSync(join(root, "src", path));

describe("the short start of docs/gpu.md", () => {
  it("has keys that the recipe has", async () => {
    const overrides = shortStartOverrides();
    expect(overrides.length).toBeGreaterThan(8);
    expect((await loadRecipe(TINY_RECIPE, overrides)).engine).toMatchObject({ device: "webgpu" });
  });
});

describe("the documents", () => {
  it("are found, and name files", () => {
    expect(documents.map(({ path }) => path)).toContain("docs/paper-index.md");
    expect(documents.flatMap(({ text }) => namedPaths(text)).length).toBeGreaterThan(100);
  });

  it("name no file that is not there", () => {
    const missing = documents.flatMap(({ path, text }) =>
      namedPaths(text)
        .filter((named) => !isThere(named))
        .map((named) => `${path}: ${named}`),
    );
    expect(missing).toEqual([]);
  });

  it("link to nothing that is not there", () => {
    const broken = documents.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target!.split("#")[0]!)
        .filter((target) => target !== "" && !/^[a-z]+:/.test(target))
        .filter((target) => !existsSync(join(root, dirname(path), target)))
        .map((target) => `${path}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it("describe every reward of the registry", () => {
    const { text } = documents.find(({ path }) => path === "docs/rewards.md")!;
    expect(rewards.names.filter((name) => !text.includes(`\n### ${name}\n`))).toEqual([]);
  });
});

describe("the paper index", () => {
  const { text } = documents.find(({ path }) => path === "docs/paper-index.md")!;
  const rows = text.split("\n").filter((line) => line.startsWith("|") && !/^\| (?:what|-+) /.test(line));

  it("says of every formula its source, file, test and departures", () => {
    const short = rows.filter((row) => {
      const cells = row.slice(1, -1).split(/(?<!\\)\|/);
      return cells.length !== 5 || cells.some((cell) => cell.trim() === "");
    });
    expect(short).toEqual([]);
  });

  it("names a source file and a test of each, or says that it is the same as above", () => {
    const unplaced = rows.filter((row) => {
      const [, , file, test] = row.slice(1, -1).split(/(?<!\\)\|/);
      return !/`src\//.test(file!) || !/`test\/|`src\/engine\/conformance|the same/.test(test!);
    });
    expect(unplaced).toEqual([]);
  });
});
