/** The command line of the benches: one set of options for all of them, so that a bench can hand its own to another. */

import { parseArgs } from "node:util";
import { AhaError } from "../src/errors.ts";

/** Numbers, with their defaults. */
const NUMBERS = {
  prompts: 8,
  group: 8,
  tokens: 128,
  beta: 0.001,
  steps: 4,
  batch: 64,
  samples: 1,
  prompt: 32,
  length: 192,
  rows: 32,
  /** 0: the engine's own. */
  chunk: 0,
  /** 0: the engine's own. */
  "micro-batch": 0,
  lora: 0,
  repeat: 3,
  rounds: 3,
  clients: 64,
  seconds: 120,
  threads: 2,
  seed: 0,
} as const;

const TEXTS = { model: "", random: "", quantization: "", device: "cpu", dtype: "float32", python: "python3" } as const;

const SWITCHES = ["gradient-checkpointing", "no-trl", "json", "help"] as const;

type NumberName = keyof typeof NUMBERS;
type TextName = keyof typeof TEXTS;
type SwitchName = (typeof SWITCHES)[number];

/** What every bench is given. */
export type BenchOptions = Readonly<
  Record<NumberName, number> & Record<TextName, string> & Record<SwitchName, boolean>
> & {
  /** Options that were given: the others have their defaults. */
  readonly given: ReadonlySet<string>;
};

/** A row of figures by name; texts name what was measured. */
export type Figures = Readonly<Record<string, number | string>>;

/** Reads a command line. Throws AhaError for what it does not know. */
export function readOptions(args: readonly string[]): { readonly names: readonly string[]; options: BenchOptions } {
  const declared: Record<string, { type: "string" | "boolean" }> = {};
  for (const name of [...Object.keys(NUMBERS), ...Object.keys(TEXTS)]) declared[name] = { type: "string" };
  for (const name of SWITCHES) declared[name] = { type: "boolean" };
  const { values, positionals } = parse(args, declared);
  const numbers = Object.entries(NUMBERS).map(([name, byDefault]) => [name, numberOf(name, values[name], byDefault)]);
  const texts = Object.entries(TEXTS).map(([name, byDefault]) => [name, values[name] ?? byDefault]);
  const switches = SWITCHES.map((name) => [name, values[name] ?? false]);
  const options = Object.fromEntries([...numbers, ...texts, ...switches, ["given", new Set(Object.keys(values))]]);
  return { names: positionals, options: options as BenchOptions };
}

/** The command line that gives these options to another process, but those of the report. */
export function commandLine(options: BenchOptions): string[] {
  const valued = [...Object.keys(NUMBERS), ...Object.keys(TEXTS)] as (NumberName | TextName)[];
  return [
    ...valued.flatMap((name) => [`--${name}`, String(options[name])]),
    ...(options["gradient-checkpointing"] ? ["--gradient-checkpointing"] : []),
  ];
}

function parse(args: readonly string[], declared: Record<string, { type: "string" | "boolean" }>) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: declared });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new AhaError(error.message.split("\n")[0]!);
  }
}

function numberOf(name: string, text: unknown, byDefault: number): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (String(text).trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new AhaError(`--${name} takes a number of at least 0, not ${text}`);
}
