/** `aha data math`: school problems with their answers and worked solutions, from the math task's generator. */

import { existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { writeJsonl } from "../data/jsonl.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import { generateProblem } from "../tasks/math/generator.ts";
import { type MathOptions, mathOptionsSchema, PROBLEM_KINDS } from "../tasks/math/options.ts";
import type { CommandContext } from "./command.ts";
import { parseOptions, seedOption, wholeNumberOption } from "./parse-options.ts";

/** A part of `aha data --help`. */
export const DATA_MATH_HELP = `aha data math

Makes school problems, one JSON object a line: {"problem": "Solve for x: 3x + 5 = 20.", "answer": "5", "solution": "…",
"kind": "linear"}. They are those of the task math; the same options and seed give the same file.

Options
  --count N           how many problems (required)
  --out FILE          where to; without it, to standard output
  --force             replace FILE if it exists
  --seed N            root of the random numbers (default 0)
  --kinds A,B         of ${PROBLEM_KINDS.join(", ")} (default: all)
  --max N             the largest number in a problem (default 20)
  --train             only problems that training may see
  --held-out          only problems that are held out from training, in every run
  --held-out-share X  the share of all problems that is held out (default 0.125)
  --json              print one JSON line about what was written, instead of a sentence`;

const OPTIONS = {
  count: { type: "string" },
  out: { type: "string" },
  force: { type: "boolean" },
  seed: { type: "string" },
  kinds: { type: "string" },
  max: { type: "string" },
  train: { type: "boolean" },
  "held-out": { type: "boolean" },
  "held-out-share": { type: "string" },
  json: { type: "boolean" },
} as const;

/** Runs `aha data math …`; `args` begins with `math`. */
export async function runDataMath(args: readonly string[], context: CommandContext): Promise<number> {
  const { values } = parseOptions("data", [...args], OPTIONS, ["DATASET"]);
  if (values.count === undefined) throw new ConfigError("aha data math: --count N is required, e.g. --count 1000.");
  const count = wholeNumberOption("count", values.count, 1);
  const seed = values.seed === undefined ? 0 : seedOption(values.seed);
  if (values.train && values["held-out"]) {
    throw new ConfigError("aha data math: --train and --held-out exclude each other; without either, both kinds.");
  }
  const share = values["held-out-share"];
  const given = {
    kinds: values.kinds?.split(","),
    maxOperand: values.max === undefined ? undefined : wholeNumberOption("max", values.max),
    heldOutShare: share === undefined ? undefined : Number(share),
  };
  const options = checkOptions(mathOptionsSchema, given, "aha data math");
  const heldOut = values.train ? false : values["held-out"] ? true : undefined;
  const split = heldOut === undefined ? "training and held out" : heldOut ? "held out" : "training";
  const rows = mathRows(options, { count, seed, split, heldOut }, context);
  if (values.out === undefined) {
    for await (const row of rows) context.out(`${JSON.stringify(row)}\n`);
    return 0;
  }
  if (existsSync(values.out) && !values.force) {
    throw new ConfigError(`${values.out} exists; choose another name, or replace it with --force.`);
  }
  const written = await writeJsonl(values.out, rows);
  context.out(
    values.json
      ? `${JSON.stringify({ file: values.out, rows: written, seed, split })}\n`
      : `Wrote ${written} math problems (${split}) to ${values.out}.\n`,
  );
  return 0;
}

interface RowPlan {
  readonly count: number;
  readonly seed: number;
  readonly split: string;
  readonly heldOut: boolean | undefined;
}

async function* mathRows(
  options: MathOptions,
  { count, seed, split, heldOut }: RowPlan,
  context: CommandContext,
): AsyncGenerator<object, void, void> {
  for (let index = 0; index < count; index++) {
    // Ctrl-C and a slow reader of standard output are only noticed between turns of the event loop.
    if (index % 1024 === 0) await setImmediate();
    if (context.signal.aborted) throw new RunInterrupted("Stopped; no file was written.");
    const { problem, answer, solution, kind } = generateProblem(options, seed, `math/data/${split}`, index, heldOut);
    yield { problem, answer, solution, kind };
  }
}
