/**
 * What shells complete, read off the commands themselves: their option tables, their help texts, and the schema of recipes.
 * The scripts (`bash.ts`, `zsh.ts`, `fish.ts`) are written from this; none of them knows a command by name.
 */

import { devices } from "../../compute/devices.ts";
import type { CommandList, CommandSyntax, Completes } from "../command.ts";
import { type RecipeKey, recipeKeys } from "../schema-keys.ts";

/** An option as scripts have it. */
export interface CompletedOption {
  readonly name: string;
  readonly takesValue: boolean;
  readonly isRepeated: boolean;
  /** undefined: nothing is offered for its value. */
  readonly completes: Offer | undefined;
  /** The first line of what its command's help says of it; empty where that says nothing. */
  readonly description: string;
}

/** Paths, keys or stages by kind, or names to choose from. */
export type Offer = Exclude<Completes, () => readonly string[]> | readonly string[];

/** A command, or one of its subcommands: `run`, `model init`. */
export interface CompletedCommand {
  readonly path: string;
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly Offer[];
}

/** Everything that is completed. */
export interface CommandTree {
  readonly commands: readonly {
    readonly name: string;
    readonly summary: string;
    readonly subcommands: readonly string[];
  }[];
  readonly leaves: readonly CompletedCommand[];
  readonly keys: RecipeWords;
}

/** What `--set` takes: keys, and those with a value that can be listed. */
export interface RecipeWords {
  /** At the top of a recipe: `seed=`, `engine.device=cpu`; also those of a trainer, for a recipe of one stage. */
  readonly top: readonly string[];
  /** Below a stage: `learningRate=`, `trainer=grpo`. */
  readonly stage: readonly string[];
}

const HELP_OPTION: CompletedOption = {
  ...{
    name: "help",
    takesValue: false,
    isRepeated: false,
    completes: undefined,
    description: "what it does, and its options",
  },
};

/** Loads every command. */
export async function commandTree(list: CommandList): Promise<CommandTree> {
  const commands: CommandTree["commands"][number][] = [];
  const leaves: CompletedCommand[] = [];
  const loaded = await Promise.all(
    [...list].map(async ([name, { summary, load }]) => ({ name, summary, command: await load() })),
  );
  // A help text may refer to that of another command.
  const anywhere = loaded.flatMap(({ command }) => [...descriptionsIn(command.help)]);
  for (const { name, summary, command } of loaded) {
    const { help, syntax } = command;
    const described = new Map([...anywhere.toReversed(), ...descriptionsIn(help)]);
    if ("subcommands" in syntax) {
      commands.push({ name, summary, subcommands: Object.keys(syntax.subcommands) });
      for (const [subcommand, own] of Object.entries(syntax.subcommands)) {
        leaves.push(leaf(`${name} ${subcommand}`, own, described));
      }
    } else {
      commands.push({ name, summary, subcommands: [] });
      leaves.push(leaf(name, syntax, described));
    }
  }
  return { commands, leaves, keys: recipeWords(recipeKeys()) };
}

function leaf(path: string, syntax: CommandSyntax, described: ReadonlyMap<string, string>): CompletedCommand {
  const options = Object.entries(syntax.options).map(
    ([name, { type, multiple = false, completes }]): CompletedOption => ({
      ...{ name, takesValue: type === "string", isRepeated: multiple },
      completes: completes === undefined ? undefined : offer(completes),
      description: described.get(name) ?? "",
    }),
  );
  return { path, options: [...options, HELP_OPTION], arguments: syntax.arguments.map(offer) };
}

const offer = (completes: Completes): Offer => (typeof completes === "function" ? completes() : completes);

/** Options at the beginning of a line, `--a N, --b N`, and what is said of them there. */
const OPTION_LINE = /^ +(--[a-z][a-z-]*(?: \S+?)?(?:, --[a-z][a-z-]*(?: \S+?)?)*)(?: {2,}| (?=[a-z(])|$)(.*)$/;

/** What a help text says of each option: the rest of the line that begins with it, or else the next line. */
function descriptionsIn(help: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const lines = help.split("\n");
  for (const [i, line] of lines.entries()) {
    const [, names, beside] = OPTION_LINE.exec(line) ?? [];
    const text = (beside || lines[i + 1] || "").trim().replace(/[;,:]$/, "");
    for (const [, name] of (names ?? "").matchAll(/--([a-z-]+)/g)) {
      if (!found.has(name!) && text !== "") found.set(name!, text);
    }
  }
  return found;
}

/** Words for `--set`, of the keys of all tasks, engines and trainers. */
function recipeWords(keys: readonly RecipeKey[]): RecipeWords {
  const top = new Set<string>();
  const stage = new Set<string>();
  for (const { section, key, values } of keys) {
    const [place, kind] = section.split(".") as [string, string | undefined];
    const into = place === "stages" ? stage : top;
    const path = place === "recipe" || place === "stages" ? key : `${place}.${key}`;
    if (kind !== undefined) into.add(`${TAGS[place] ?? `${place}.name`}=${kind}`);
    // A mapping's own keys are offered, and an item of a list has no name to be addressed by here.
    into.add(`${path}=`);
    const listed = path === "engine.device" ? devices.names : values;
    for (const value of listed ?? []) into.add(`${path}=${String(value)}`);
  }
  return { top: [...top, ...[...stage].filter((word) => !top.has(word))], stage: [...stage] };
}

/** The key that says which of several kinds a mapping is. */
const TAGS: Readonly<Record<string, string>> = { stages: "trainer", engine: "engine.kind", task: "task.name" };
