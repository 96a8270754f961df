/** `aha completion`: in the shells themselves, and against the help texts that people read. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CommandList } from "../../src/cli/command.ts";
import { type CommandTree, commandTree } from "../../src/cli/completion/command-tree.ts";
import { COMMANDS, main } from "../../src/cli/main.ts";
import { recordedConsole } from "./console.ts";

const RECIPE = `name: mine
stages:
  - name: cold-start
    trainer: sft
    rewards:
      - { name: format }
  - { name: r1-zero, trainer: grpo }
`;
const PIPELINE = "name: mine\npipeline:\n  - name: base\n    train: ./base.yaml\n  - { name: other }\n";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "aha-completion-"));
  for (const shell of ["bash", "zsh", "fish"]) {
    const console = recordedConsole();
    expect(await main(["completion", shell], console)).toBe(0);
    writeFileSync(join(folder, `aha.${shell}`), console.stdout());
  }
  writeFileSync(join(folder, "recipe.yaml"), RECIPE);
  writeFileSync(join(folder, "pipeline.yml"), PIPELINE);
  writeFileSync(join(folder, "notes.txt"), "");
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function has(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function runIn(program: string, args: readonly string[]): string[] {
  const env = { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder };
  const out = execFileSync(program, args, { cwd: folder, encoding: "utf8", env, timeout: 60_000 });
  return [...new Set(out.split("\n").filter((line) => line !== ""))].sort();
}

/** Words as readline hands them over, which cuts them at "=" too. */
function bash(line: string): string[] {
  const words = line.split(" ").flatMap((word) => word.split(/(=)/).filter((part, i) => part !== "" || i === 0));
  const list = words.map((word) => `'${word}'`).join(" ");
  const program = `compopt() { :; }; source ./aha.bash; COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _aha; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return runIn("bash", ["--norc", "-c", program]);
}

const zsh = (line: string) =>
  runIn("zsh", ["-f", join(import.meta.dirname, "capture-completion.zsh"), "./aha.zsh", line]);

const fish = (line: string) =>
  runIn("fish", ["--no-config", "-c", `source ./aha.fish; complete -C '${line}'`]).map((word) => word.split("\t")[0]!);

/** What each shell must offer for a line, among other words, and what it must not. */
const LINES: readonly (readonly [line: string, offered: readonly string[], not: readonly string[]])[] = [
  ["aha ", ["run", "init", "model", "completion"], ["rewards"]],
  ["aha re", ["reward"], ["run"]],
  ["aha model ", ["init", "push"], ["run"]],
  ["aha run --", ["--set", "--resume", "--from", "--trl", "--help"], ["--preset"]],
  ["aha model init --", ["--preset", "--tokenizer"], ["--resume"]],
  ["aha run ", ["recipe.yaml", "pipeline.yml"], []],
  ["aha reward --in no", ["notes.txt"], []],
  ["aha eval x --task ", ["countdown", "math"], ["sft"]],
  ["aha init --trainer ", ["r1", "grpo", "sft"], ["math"]],
  ["aha init --task o", ["own"], ["math"]],
  ["aha model init --preset ", ["tiny", "small"], ["--out"]],
  ["aha reward eq", ["equation"], ["format"]],
  ["aha completion ", ["bash", "zsh", "fish"], []],
  ["aha run recipe.yaml --out x --set se", ["seed="], ["name="]],
  ["aha run recipe.yaml --set seed=2 --res", ["--resume"], []],
  ["aha run recipe.yaml --set stages.cold-start.learningR", ["stages.cold-start.learningRate="], []],
  ["aha run pipeline.yml --from ", ["base", "other"], ["mine", "stages.base"]],
  ["aha doctor pipeline.yml --set base.group", ["base.groupSize="], []],
];

/** Lines whose value follows "=", where bash offers what comes behind it. */
const VALUES: readonly (readonly [line: string, offered: readonly string[]])[] = [
  ["aha run recipe.yaml --set engine.device=c", ["cpu", "cuda"]],
  ["aha run recipe.yaml --set task.name=count", ["countdown"]],
  ["aha run recipe.yaml --set stages.r1-zero.lossType=d", ["dapo", "dr_grpo"]],
  ["aha run recipe.yaml --set stages.r1-zero.trainer=s", ["sft"]],
];

describe.each([
  ["bash", bash],
  ["zsh", zsh],
  ["fish", fish],
] as const)("%s", (shell, complete) => {
  const isThere = process.platform !== "win32" && has(shell);

  it.skipIf(!isThere)("offers commands, options, values, files, stages and keys", () => {
    for (const [line, offered, not] of LINES) {
      const found = complete(line);
      expect(found, line).toEqual(expect.arrayContaining([...offered]));
      expect(
        found.filter((word) => not.includes(word)),
        line,
      ).toEqual([]);
    }
    for (const [line, offered] of VALUES) {
      const key = /\S+=/.exec(line)![0];
      const words = complete(line).map((word) => (word.startsWith(key) ? word.slice(key.length) : word));
      expect(words, line).toEqual([...offered].sort());
    }
  });

  it.skipIf(!isThere || shell === "zsh")("offers no reward for a stage", () => {
    expect(complete("aha run recipe.yaml --set stages.").some((word) => word.startsWith("stages.format"))).toBe(false);
  });
});

it.skipIf(process.platform === "win32" || !has("bash"))(
  "bash offers recipes alone; the others offer them first",
  () => {
    expect(bash("aha run ")).not.toContain("notes.txt");
  },
);

describe("the command tree", () => {
  let tree: CommandTree;
  let helps: Map<string, string>;
  beforeAll(async () => {
    tree = await commandTree(COMMANDS as CommandList);
    helps = new Map();
    for (const [name, { load }] of COMMANDS) helps.set(name, (await load()).help);
  });

  it("has every option that a help text names, and no other", () => {
    for (const [name, help] of helps) {
      const leaves = tree.leaves.filter(({ path }) => path.split(" ")[0] === name);
      const known = new Set(leaves.flatMap(({ options }) => options.map((option) => option.name)));
      const told = new Set([...help.matchAll(/--([a-z][a-z-]+)/g)].map(([, option]) => option!));
      // Examples show options of other commands, too.
      const others = new Set(tree.leaves.flatMap(({ options }) => options.map((option) => option.name)));
      expect(
        [...known].filter((option) => option !== "help" && !told.has(option)),
        name,
      ).toEqual([]);
      expect(
        [...told].filter((option) => !others.has(option)),
        name,
      ).toEqual([]);
    }
  });

  it("describes every option, from its command's help", () => {
    const options = tree.leaves.flatMap(({ path, options: own }) => own.map((option) => ({ path, ...option })));
    const bare = options.filter(({ description }) => description === "").map(({ path, name }) => `${path} --${name}`);
    expect(bare).toEqual([]);
  });

  it("has the keys of recipes, of their stages, and the values that can be listed", () => {
    expect(tree.keys.top).toEqual(expect.arrayContaining(["seed=", "task.name=math", "model.init.architecture=qwen3"]));
    expect(tree.keys.stage).toEqual(expect.arrayContaining(["groupSize=", "trainer=grpo", "schedule=cosine"]));
    expect(tree.keys.stage).not.toContain("seed=");
  });
});

describe("aha completion", () => {
  it("says which shells there are", async () => {
    const console = recordedConsole();
    expect(await main(["completion", "fisch"], console)).toBe(1);
    expect(console.stderr()).toBe('aha: aha completion: expected bash, zsh, fish, got "fisch". Did you mean fish?\n');
  });
});
