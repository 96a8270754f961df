/** `aha data`: makes data sets, those of the Countdown game and school problems, downloads others from the Hub, and shows what is in them. */

import { ConfigError, nearestName } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import { type GeneratedCountdown, generateCountdown } from "../tasks/countdown/generator.ts";
import { type CountdownOptions, countdownOptionsSchema } from "../tasks/countdown/options.ts";
import { isHeldOutCountdown } from "../tasks/countdown/split.ts";
import { formatTree } from "../tasks/countdown/tree.ts";
import type { Command } from "./command.ts";
import { DATA_MATH_HELP, DATA_MATH_OPTIONS, runDataMath } from "./data-math.ts";
import { SHOW_OPTIONS, showData } from "./data-show.ts";
import { type GeneratedDataPlan, generatedDataPlan, writeGeneratedData } from "./generated-data.ts";
import { DATA_HUB_HELP, PULL_OPTIONS, runDataPull } from "./hub.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";

const HELP = `Usage: aha data show PATH [--split NAME] [--rows N] [--json]
       aha data countdown --count N [--out FILE.jsonl] [options]
       aha data math --count N [--out FILE.jsonl] [options]

aha data show

Shows what a data set holds: its splits and their rows, the columns and their types, the first rows, and of one that a
pipeline made its lineage: the step, model and seed, and what each filter dropped. PATH is a file
(.jsonl, .json, .csv, .tsv, also gzipped, or .parquet) or a folder in the Hub's layout: README.md,
data/train-00000-of-00002.parquet, test.jsonl, …, or ORG/NAME[@REVISION] on the Hub. What is shown here a recipe takes
under task.data.

Options
  --split NAME        the split whose columns and rows are shown (default train)
  --config NAME       a configuration of the data set (default: its own default)
  --rows N            how many rows (default 5)
  --json              one JSON line with all of it, values whole

aha data countdown

Makes Countdown problems that can be solved with every number used once, one JSON object a line, in the form of
Countdown-Tasks-3to4: {"nums": [6, 3, 3], "target": 54}. The same options and seed give the same file.

Options
  --count N           how many problems (required)
  --out FILE          where to; without it, to standard output
  --force             replace FILE if it exists
  --seed N            root of the random numbers (default 0)
  --numbers 3,4       how many numbers a problem has (default 3,4)
  --min N, --max N    range of the numbers (default 1 to 99)
  --target-min N, --target-max N
                      range of the target (default 10 to 99)
  --integers          only expressions whose every result is a whole number
  --value-min N, --value-max N
                      range of every result on the way (with --integers; default: none)
  --train             only problems that training may see
  --held-out          only problems that are held out from training, in every run
  --held-out-share X  the share of all problems that is held out (default 0.125)
  --solutions         add the column solution
  --json              print one JSON line about what was written, instead of a sentence

Example: the game of the tiny recipe
  aha data countdown --count 1000 --numbers 3 --max 10 --integers --value-min 0 --value-max 99 --out tiny.jsonl

${DATA_MATH_HELP}

${DATA_HUB_HELP}
`;

const OPTIONS = {
  count: { type: "string" },
  out: { type: "string", completes: "file" },
  force: { type: "boolean" },
  seed: { type: "string" },
  numbers: { type: "string" },
  min: { type: "string" },
  max: { type: "string" },
  "target-min": { type: "string" },
  "target-max": { type: "string" },
  integers: { type: "boolean" },
  "value-min": { type: "string" },
  "value-max": { type: "string" },
  train: { type: "boolean" },
  "held-out": { type: "boolean" },
  "held-out-share": { type: "string" },
  solutions: { type: "boolean" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

const DATA_SETS = ["countdown", "math"];
const ACTIONS = ["show", "pull", ...DATA_SETS];

export const dataCommand: Command = {
  help: HELP,
  syntax: {
    subcommands: {
      show: { options: SHOW_OPTIONS, arguments: ["file"] },
      countdown: { options: OPTIONS, arguments: [] },
      math: { options: DATA_MATH_OPTIONS, arguments: [] },
      pull: { options: PULL_OPTIONS, arguments: [() => []] },
    },
  },
  run: async (args, context) => {
    if (args[0] === "pull") return runDataPull(args.slice(1), context);
    if (args[0] === "math") return runDataMath(args, context);
    if (args[0] === "show") return showData(args, context);
    const { values, positionals } = parseOptions("data", args, OPTIONS, ["DATASET"]);
    requireKnown(positionals[0]!);
    const plan = generatedDataPlan(values, "countdown");
    const rowAt = countdownRows(gameOptions(values), values.solutions === true, plan);
    await writeGeneratedData(rowAt, plan, values, "Countdown", context);
    return 0;
  },
};

/** @throws ConfigError for the name of a data set that Aha does not make. */
function requireKnown(name: string): void {
  if (DATA_SETS.includes(name)) return;
  const nearest = nearestName(name, ACTIONS);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(
    `aha data: there is no data set ${JSON.stringify(name)}; known: ${DATA_SETS.join(", ")}.${hint}`,
  );
}

function gameOptions(values: Values): CountdownOptions {
  const number = (option: keyof Values & string): number | undefined => {
    const text = values[option];
    return typeof text === "string" ? wholeNumberOption(option, text) : undefined;
  };
  const range = { min: number("value-min"), max: number("value-max") };
  if (!values.integers && (range.min !== undefined || range.max !== undefined)) {
    throw new ConfigError("aha data countdown: --value-min and --value-max need --integers.");
  }
  const share = values["held-out-share"];
  const options = {
    prompt: "compact",
    counts: values.numbers?.split(",").map((text) => wholeNumberOption("numbers", text)),
    min: number("min"),
    max: number("max"),
    targetMin: number("target-min"),
    targetMax: number("target-max"),
    values: values.integers ? { ...range, integersOnly: true } : undefined,
    heldOutShare: share === undefined ? undefined : Number(share),
  };
  return checkOptions(countdownOptionsSchema, options, "aha data countdown");
}

function countdownRows(
  options: CountdownOptions,
  withSolutions: boolean,
  { seed, split, heldOut }: GeneratedDataPlan,
): (index: number) => object {
  const isWanted = ({ numbers, target }: GeneratedCountdown) =>
    heldOut === undefined || isHeldOutCountdown(numbers, target, options.heldOutShare) === heldOut;
  return (index) => {
    const problem = generateCountdown(options, seed, `countdown/data/${split}`, index, isWanted);
    const row = { nums: problem.numbers, target: Number(problem.target.numerator) };
    return withSolutions ? { ...row, solution: formatTree(problem.solution) } : row;
  };
}
