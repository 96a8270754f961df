/** `aha data math`: school problems with their answers and worked solutions, from the math task's generator. */

import { checkOptions } from "../strict-schema.ts";
import { generateMathProblem } from "../tasks/math/generator.ts";
import { mathOptionsSchema, PROBLEM_KINDS } from "../tasks/math/options.ts";
import type { CommandContext } from "./command.ts";
import { generatedDataPlan, writeGeneratedData } from "./generated-data.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";

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

/** Options of `aha data math`. */
export const DATA_MATH_OPTIONS = {
  count: { type: "string" },
  out: { type: "string", completes: "file" },
  force: { type: "boolean" },
  seed: { type: "string" },
  kinds: { type: "string", completes: () => PROBLEM_KINDS },
  max: { type: "string" },
  train: { type: "boolean" },
  "held-out": { type: "boolean" },
  "held-out-share": { type: "string" },
  json: { type: "boolean" },
} as const;

/** Runs `aha data math …`; `args` begins with `math`. */
export async function runDataMath(args: readonly string[], context: CommandContext): Promise<number> {
  const { values } = parseOptions("data", [...args], DATA_MATH_OPTIONS, ["DATASET"]);
  const plan = generatedDataPlan(values, "math");
  const share = values["held-out-share"];
  const given = {
    kinds: values.kinds?.split(","),
    maxOperand: values.max === undefined ? undefined : wholeNumberOption("max", values.max),
    heldOutShare: share === undefined ? undefined : Number(share),
  };
  const options = checkOptions(mathOptionsSchema, given, "aha data math");
  const rowAt = (index: number) => {
    const stream = `math/data/${plan.split}`;
    const { problem, answer, solution, kind } = generateMathProblem(options, plan.seed, stream, index, plan.heldOut);
    return { problem, answer, solution, kind };
  };
  await writeGeneratedData(rowAt, plan, values, "math", context);
  return 0;
}
