/** `aha doctor`: what a recipe comes to, and what is wrong with it, before it is run. */

import { existsSync } from "node:fs";
import { diagnose, refusedRecipe } from "../doctor/diagnose.ts";
import type { Diagnosis } from "../doctor/finding.ts";
import { ConfigError } from "../errors.ts";
import { loadRecipe } from "../recipe/load.ts";
import type { Recipe } from "../recipe/schema.ts";
import type { Command, CommandContext } from "./command.ts";
import { diagnosisText } from "./doctor-text.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";
import { openTrlRecipe, requireNoTrlOptions, TRL_OPTIONS } from "./run-trl.ts";
import { StatusLine } from "./terminal-line.ts";
import { styleFor } from "./terminal-style.ts";

const DEFAULT_SAMPLES = 32;

const HELP = `Usage: aha doctor RECIPE [--set key=value]… [--samples N] [--skip-sampling] [--strict] [--json]
       aha doctor --trl FILE.yaml [--model DIR] [--data FILE] [the options above]

Looks at a recipe before it is run. Samples a few completions at its current policy, trains a few steps at learning rate 0,
and tells the batch arithmetic, estimated time and memory, predicted truncation, and what would waste the run. It leaves
nothing behind and downloads nothing: a model or data set of the Hub is looked for in the cache.

Options
  --set KEY=VALUE   replace one value of the recipe, as in aha run; may be repeated
  --samples N       completions to sample for each stage, made up to whole groups (${DEFAULT_SAMPLES})
  --skip-sampling   only what needs no model: settings, data, lengths, memory
  --strict          warnings fail too
  --json            the diagnosis as one JSON object (docs/doctor.md)
  --trl FILE        a recipe of TRL's; --model, --data, --prompt, --num-processes, --accelerate and --trl-version as in
                    aha run --help

Exit code: 0 without a finding of severity error, 1 with one (with --strict, with a warning too), 130 after Ctrl-C.

Examples
  aha doctor recipes/countdown/tiny/recipe.yaml
  aha doctor recipes/countdown/tiny/recipe.yaml --set stages.r1-zero.learningRate=0.1 --skip-sampling
`;

const { "dry-run": _, ...TRL } = TRL_OPTIONS;

const OPTIONS = {
  set: { type: "string", multiple: true },
  samples: { type: "string" },
  "skip-sampling": { type: "boolean" },
  strict: { type: "boolean" },
  json: { type: "boolean" },
  ...TRL,
} as const;

export const command: Command = {
  help: HELP,
  run: async (args, context) => {
    const fromTrl = args.some((argument) => argument === "--trl" || argument.startsWith("--trl="));
    const { values, positionals } = parseOptions("doctor", args, OPTIONS, fromTrl ? [] : ["RECIPE"]);
    const samples = values.samples === undefined ? DEFAULT_SAMPLES : wholeNumberOption("samples", values.samples, 1);
    const path = values.trl ?? positionals[0]!;
    if (values.trl === undefined) requireNoTrlOptions(values);
    if (!existsSync(path)) throw new ConfigError(`There is no recipe ${path}.`);
    const load = async () =>
      values.trl === undefined
        ? loadRecipe(path, values.set ?? [])
        : (await openTrlRecipe(values.trl, values, { context, mode: "quiet" })).recipe;
    const diagnosis = await examine(path, load, {
      ...{ context, samples: values["skip-sampling"] ? 0 : samples, quiet: values.json === true },
    });
    const colours = context.interactive && process.stdout.isTTY === true;
    context.out(values.json ? `${JSON.stringify(diagnosis)}\n` : diagnosisText(diagnosis, styleFor(colours)));
    const { error, warning } = diagnosis.counts;
    return error > 0 || (values.strict === true && warning > 0) ? 1 : 0;
  },
};

async function examine(
  path: string,
  load: () => Promise<Recipe>,
  { context, samples, quiet }: { context: CommandContext; samples: number; quiet: boolean },
): Promise<Diagnosis> {
  const status = new StatusLine({
    write: context.note,
    interactive: context.interactive,
    columns: () => process.stderr.columns ?? 100,
  });
  try {
    const recipe = await load();
    const onProgress = quiet ? {} : { onProgress: (text: string) => status.update(() => `  ${text}`) };
    return await diagnose(recipe, { samples, signal: context.signal, ...onProgress });
  } catch (error) {
    // A recipe that cannot be read is what a doctor should say, in the form in which it says everything.
    if (error instanceof ConfigError) return refusedRecipe(path, error.message);
    throw error;
  } finally {
    status.clear();
  }
}
