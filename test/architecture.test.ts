import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { dataSteps } from "../src/data-steps/steps.ts";
import { trainers } from "../src/train/trainers.ts";

/** The most lines of a source file. */
const MAX_LINES = 420;
const BANNED_NAMES = ["utils", "util", "common", "helpers", "helper", "misc", "shared", "stuff", "lib"];

const root = fileURLToPath(new URL("..", import.meta.url));
const src = join(root, "src");
const files = (await readdir(src, { recursive: true })).filter((path) => /\.tsx?$/.test(path)).sort();
const sources = new Map(
  await Promise.all(files.map(async (path) => [path, await readFile(join(src, path), "utf8")] as const)),
);

/** The layer of each folder and root file, from the table in ARCHITECTURE.md. */
async function readLayers(): Promise<Map<string, number>> {
  const text = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
  const layers = new Map<string, number>();
  for (const [, rank, rest] of text.matchAll(/^ {4}(\d) {2}(.+)$/gm)) {
    for (const name of rest!.split(/ {2,}/)) {
      const match = /^([\w-]+)(\/|\.ts)$/.exec(name);
      if (!match) break;
      layers.set(match[2] === "/" ? match[1]! : name, Number(rank));
    }
  }
  return layers;
}

const layers = await readLayers();

/** The folder of `src` that a file is in, or the file itself where it lies in `src`. */
const partOf = (path: string) => path.split("/")[0]!;

/** Source without comments: strings are kept, for the paths of imports are strings. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
}

/** Code without what stands between quotes. */
const withoutStrings = (code: string) =>
  code.replace(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g, '""');

/** What a file imports, static, dynamic or as types only, as it is written. */
function targetsOf(path: string): string[] {
  const code = codeOf(sources.get(path)!);
  const statements = code.matchAll(/\b(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/g);
  const bare = code.matchAll(/(?<!["'])\bimport\s*\(?\s*["']([^"']+)["']/g);
  return [...statements, ...bare].map(([, target]) => target!);
}

/** Every relative import of a file, as a path in `src`. */
function importsOf(path: string): string[] {
  return targetsOf(path)
    .filter((target) => target.startsWith(".") && !target.endsWith(".css"))
    .map((target) => relative(src, join(src, dirname(path), target)));
}

const edges = files.flatMap((from) => importsOf(from).map((to) => ({ from, to })));

describe("the layers", () => {
  it("of ARCHITECTURE.md name every folder and root file of src, and nothing else", () => {
    expect([...layers.keys()].sort()).toEqual([...new Set(files.map(partOf))].sort());
  });

  it("are found to import each other at all", () => {
    expect(edges.length).toBeGreaterThan(100);
    expect(edges.every(({ to }) => sources.has(to))).toBe(true);
  });

  it("import only lower ones; a folder also itself and the root files of its own layer", () => {
    const wrong = edges.filter(({ from, to }) => {
      const [own, other] = [partOf(from), partOf(to)];
      if (own === other) return false;
      const [rank, otherRank] = [layers.get(own) ?? Number.NaN, layers.get(other) ?? Number.NaN];
      const isRootFile = other.endsWith(".ts") && !own.endsWith(".ts");
      return !(otherRank < rank || (isRootFile && otherRank === rank));
    });
    expect(
      wrong.map(({ from, to }) => `${from} (${layers.get(partOf(from))}) → ${to} (${layers.get(partOf(to))})`),
    ).toEqual([]);
  });

  it("have no import cycle between files, imports of types counted", () => {
    const next = new Map(files.map((from) => [from, importsOf(from)]));
    const state = new Map<string, "open" | "done">();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]) => {
      if (state.get(path) === "done") return;
      if (state.get(path) === "open") {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
        return;
      }
      state.set(path, "open");
      for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
      state.set(path, "done");
    };
    for (const path of files) visit(path, []);
    expect(cycles).toEqual([]);
  });
});

describe("ARCHITECTURE.md", () => {
  it("names no file that is not there", async () => {
    const text = await readFile(join(root, "ARCHITECTURE.md"), "utf8");
    const named = [...text.matchAll(/`((?:[\w-]+\/)*[\w-]+\.ts)`/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(50);
    const isThere = (path: string) =>
      files.some((file) => file === path || file.endsWith(`/${path}`)) || existsSync(join(root, path));
    expect(named.filter((path) => !isThere(path))).toEqual([]);
  });
});

describe("the core", () => {
  /** What begins where Node is not: a browser's build, and whatever else hands in its own device and folders. */
  const ENTRY = "core.ts";
  /** Packages that run anywhere. Of mathjs there are the types alone: a program that judges irrational answers hands it in. */
  const PORTABLE = ["@bufbuild/protobuf/wire", "@huggingface/tokenizers", "mathjs", "yaml", "zod"];
  /** Globals of Node. `process` is asked for math.js, where there is one. */
  const GLOBALS = /(?<!\.)\b(?:Buffer|setImmediate|__dirname|__filename)\s*[.(]|(?<!globalThis\.)\bprocess\./;

  /** Every file that is reached from the entry, with the file that reached it, and the packages that they import. */
  function reached() {
    const from = new Map<string, string | undefined>([[ENTRY, undefined]]);
    const packages: { readonly name: string; readonly path: string }[] = [];
    for (const path of from.keys()) {
      for (const target of targetsOf(path)) {
        if (!target.startsWith(".")) {
          packages.push({ name: target, path });
          continue;
        }
        const file = relative(src, join(src, dirname(path), target));
        if (!from.has(file)) from.set(file, path);
      }
    }
    const chainTo = (path: string): string => {
      const before = from.get(path);
      return before === undefined ? path : `${chainTo(before)} → ${path}`;
    };
    return { files: [...from.keys()], packages, chainTo };
  }

  const { files: core, packages, chainTo } = reached();

  it("has the trainers, the engine, the tasks and the rewards in it, and no disk", () => {
    const parts = [
      "train/grpo/grpo.ts",
      "train/sft/sft.ts",
      "engine/local/local-policy.ts",
      "engine/local/open-local.ts",
    ];
    const more = [
      "tasks/countdown/countdown.ts",
      "rewards/registry.ts",
      "tokenizer/huggingface.ts",
      "recipe/run-recipe.ts",
    ];
    expect(core).toEqual(expect.arrayContaining([...parts, ...more]));
    for (const disk of ["files.ts", "disk-folder.ts", "compute/compute.ts"]) expect(core).not.toContain(disk);
  });

  it("imports no module of Node, and no package that needs one, for types either", () => {
    const wrong = packages.filter(({ name }) => !PORTABLE.includes(name));
    expect(wrong.map(({ name, path }) => `${chainTo(path)} → ${name}`)).toEqual([]);
  });

  it("uses no global of Node", () => {
    const using = core.filter((path) => GLOBALS.test(withoutStrings(codeOf(sources.get(path)!))));
    expect(using.map(chainTo)).toEqual([]);
  });
});

describe("what a registry lists", () => {
  /** Where a word is the name of something else too. */
  const OTHER_MEANINGS: Readonly<Record<string, RegExp>> = {
    // A loss, and TRL's name of it and of its own trainer.
    grpo: /^losses\/|^recipe\/trl\/|^train\/distill\//,
    // TRL's name of its own trainer.
    sft: /^recipe\/trl\//,
    // A reward.
    reward_model: /^rewards\//,
    // A task, and the recipe for data of that kind.
    preferences: /^tasks\/|^cli\/init\//,
  };
  /** The folder of a trainer, the file of a data step. */
  const homes = [
    ...trainers.names.map((name) => [name, `train/${name.replaceAll("_", "-")}/`] as const),
    ...dataSteps.names.map((name) => {
      return [name, `data-steps/${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}.ts`] as const;
    }),
  ];

  it.each(homes)("%s is named by its own files alone", (name, home) => {
    expect(files.some((path) => path.startsWith(home))).toBe(true);
    const word = new RegExp(`["'\`]${name}["'\`]`);
    const naming = [...sources].filter(([path, text]) => !path.startsWith(home) && word.test(codeOf(text)));
    expect(naming.map(([path]) => path).filter((path) => !OTHER_MEANINGS[name]?.test(path))).toEqual([]);
  });

  it("is imported by the list, by the public APIs, and by TRL's recipes", () => {
    const folderOf = (path: string) => /^train\/[^/]+(?=\/)/.exec(path)?.[0];
    const allowed = /^(train\/trainers|index|core)\.ts$|^recipe\/trl\//;
    const inside = edges.filter(({ from, to }) => folderOf(to) !== undefined && folderOf(from) !== folderOf(to));
    expect(inside.filter(({ from }) => !allowed.test(from)).map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
  });
});

describe("source files", () => {
  it("have names that say what is in them", () => {
    const parts = files.flatMap((path) =>
      path
        .replace(/(\.d)?\.tsx?$/, "")
        .split("/")
        .map((part) => [path, part] as const),
    );
    expect(parts.filter(([, part]) => BANNED_NAMES.includes(part)).map(([path]) => path)).toEqual([]);
    expect(parts.filter(([, part]) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(part)).map(([path]) => path)).toEqual([]);
  });

  it(`are of ${MAX_LINES} lines at most`, () => {
    const long = [...sources].map(([path, text]) => [path, text.trimEnd().split("\n").length] as const);
    expect(long.filter(([, lines]) => lines > MAX_LINES).map(([path, lines]) => `${path}: ${lines}`)).toEqual([]);
  });

  it("begin by saying what they are", () => {
    const silent = [...sources].filter(([, text]) => !/^(#!.*\n)?\/\*\*/.test(text)).map(([path]) => path);
    expect(silent).toEqual([]);
  });

  it("draw no unseeded random number and evaluate no text", () => {
    const banned =
      /\bMath\.random\b|\beval\s*\(|\bnew\s+Function\b|\bcrypto\.(?:getRandomValues|randomInt|randomBytes)\b|["']node:vm["']/;
    expect([...sources].filter(([, text]) => banned.test(codeOf(text))).map(([path]) => path)).toEqual([]);
  });

  it("leave nothing to be done, and no check switched off", () => {
    const markers = /\b(?:TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|nocheck|expect-error)/;
    const untyped = /\bas any\b|[:<,|] ?any\b/;
    const found = [...sources].filter(([, text]) => markers.test(text) || untyped.test(withoutStrings(codeOf(text))));
    expect(found.map(([path]) => path)).toEqual([]);
  });

  it("write to the console only in cli/", () => {
    const talking = [...sources].filter(([path, text]) => !path.startsWith("cli/") && /\bconsole\./.test(codeOf(text)));
    expect(talking.map(([path]) => path)).toEqual([]);
  });
});

describe("exported names", () => {
  it("stand for one thing: no two files declare the same", () => {
    const homes = new Map<string, string[]>();
    for (const [path, text] of sources) {
      const declared = codeOf(text).matchAll(
        /^export (?:declare )?(?:async )?(?:abstract )?(?:function\*?|class|const|let|type|interface|enum) (\w+)/gm,
      );
      for (const name of new Set([...declared].map((match) => match[1]!))) {
        homes.set(name, [...(homes.get(name) ?? []), path]);
      }
    }
    expect(homes.size).toBeGreaterThan(1000);
    // A folder's `on-node.ts` or `on-disk.ts` has a function of the folder again, with what Node has handed in.
    const own = ([, paths]: readonly [string, string[]]) => {
      const given = paths.filter((path) => !/\/on-(node|disk)\.ts$/.test(path));
      return given.length === 1 && paths.every((path) => dirname(path) === dirname(given[0]!)) ? given : paths;
    };
    const shared = [...homes].filter((home) => own(home).length > 1);
    expect(shared.map(([name, paths]) => `${name}: ${paths.join(", ")}`)).toEqual([]);
  });
});

describe("docstrings", () => {
  /** Exported functions, classes and constants, with a docstring or without. */
  const exported = [...sources].flatMap(([path, text]) => {
    const matches = [...text.matchAll(/^export (?:async )?(?:abstract )?(?:function\*?|class|const) (\w+)/gm)];
    return matches.map((match) => ({
      name: `${path}: ${match[1]}`,
      // The header of a file speaks for its only export.
      documented: matches.length === 1 || text.slice(0, match.index).trimEnd().endsWith("*/"),
    }));
  });

  it("stand above every exported function, class and constant that the file's header does not speak for", () => {
    const missing = exported.filter(({ documented }) => !documented).map(({ name }) => name);
    expect(missing, `${missing.length} of ${exported.length} exports`).toEqual([]);
  });
});
