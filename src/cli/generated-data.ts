/** What `aha data countdown` and `aha data math` share: which problems are asked for, making them, writing them. */

import { existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { writeJsonl } from "../data/jsonl.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import type { CommandContext } from "./command.ts";
import { seedOption, wholeNumberOption } from "./parse-options.ts";

/** The options that both have, as they were given. */
export interface GeneratedDataValues {
  readonly count?: string | undefined;
  readonly out?: string | undefined;
  readonly force?: boolean | undefined;
  readonly seed?: string | undefined;
  readonly train?: boolean | undefined;
  readonly "held-out"?: boolean | undefined;
  readonly json?: boolean | undefined;
}

/** Which problems. */
export interface GeneratedDataPlan {
  readonly count: number;
  readonly seed: number;
  /** Only held-out problems, only those of training, or both. */
  readonly heldOut: boolean | undefined;
  /** That in words; it names the stream of random numbers too. */
  readonly split: string;
}

/** Throws ConfigError for what is missing or impossible; `name` is the data set's in the command. */
export function generatedDataPlan(values: GeneratedDataValues, name: string): GeneratedDataPlan {
  if (values.count === undefined) {
    throw new ConfigError(`aha data ${name}: --count N is required, e.g. --count 1000.`);
  }
  const count = wholeNumberOption("count", values.count, 1);
  const seed = values.seed === undefined ? 0 : seedOption(values.seed);
  if (values.train && values["held-out"]) {
    throw new ConfigError(`aha data ${name}: --train and --held-out exclude each other; without either, both kinds.`);
  }
  const heldOut = values.train ? false : values["held-out"] ? true : undefined;
  const split = heldOut === undefined ? "training and held out" : heldOut ? "held out" : "training";
  return { count, seed, heldOut, split };
}

/**
 * Makes the rows one after another and writes them to `--out`, whole or not at all, or to standard output. `what` are the
 * problems in the closing sentence.
 *
 * @throws ConfigError where the file exists and may not be replaced; RunInterrupted
 */
export async function writeGeneratedData(
  rowAt: (index: number) => object,
  { count, seed, split }: GeneratedDataPlan,
  values: GeneratedDataValues,
  what: string,
  context: CommandContext,
): Promise<void> {
  const rows = generated(rowAt, count, context);
  if (values.out === undefined) {
    for await (const row of rows) context.out(`${JSON.stringify(row)}\n`);
    return;
  }
  if (existsSync(values.out) && !values.force) {
    throw new ConfigError(`${values.out} exists; choose another name, or replace it with --force.`);
  }
  const written = await writeJsonl(values.out, rows);
  context.out(
    values.json
      ? `${JSON.stringify({ file: values.out, rows: written, seed, split })}\n`
      : `Wrote ${written} ${what} problems (${split}) to ${values.out}.\n`,
  );
}

async function* generated(
  rowAt: (index: number) => object,
  count: number,
  context: CommandContext,
): AsyncGenerator<object, void, void> {
  for (let index = 0; index < count; index++) {
    // Ctrl-C and a slow reader of standard output are only noticed between turns of the event loop, so the loop yields.
    if (index % 1024 === 0) await setImmediate();
    if (context.signal.aborted) throw new RunInterrupted("Stopped; no file was written.");
    yield rowAt(index);
  }
}
