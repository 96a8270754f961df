/**
 * `aha doctor`: the numbers of a recipe or a pipeline (batch, time, memory), and what is wrong with it, before it is
 * run.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type DiagnoseOptions, diagnose, refusedRecipe } from "../doctor/diagnose.ts";
import { diagnosePipeline } from "../doctor/diagnose-pipeline.ts";
import type { Diagnosis } from "../doctor/diagnosis.ts";
import type { ExaminedPipeline } from "../doctor/examined-pipeline.ts";
import { ConfigError } from "../errors.ts";
import { isPipelineFile, loadPipeline, outputPath, resolveStages } from "../pipeline/load.ts";
import { loadRecipe } from "../recipe/load.ts";
import type { Command, CommandContext } from "./command.ts";
import { diagnosisText } from "./doctor-text.ts";
import { engineOverrides, RECIPE_ENGINE_HELP, RECIPE_ENGINE_OPTIONS, withEngineOptions } from "./engine-option.ts";
import { parseOptions, wholeNumberOption } from "./parse-options.ts";
import { openTrlRecipe, requireNoTrlOptions, TRL_OPTIONS } from "./run-trl.ts";
import { StatusLine } from "./terminal-line.ts";
import { styleFor } from "./terminal-style.ts";

const DEFAULT_SAMPLES = 32;

const HELP = `Usage: aha doctor RECIPE|PIPELINE [--set key=value]… [--samples N] [--skip-sampling] [--strict] [--json]
       aha doctor --trl FILE.yaml [--model DIR] [--data FILE] [the options above]
       aha doctor --devices [--json]

Looks at a recipe before it is run. Samples a few completions at its current policy, trains a few steps at learning rate 0,
and tells the batch arithmetic, estimated time and memory, predicted truncation, and what would waste the run. It leaves
nothing behind and downloads nothing: a model or data set of the Hub is looked for in the cache.

Of a pipeline every stage is looked at, with the shape of the model that its own descends from; a stage that needs nothing of
others is sampled. What earlier stages have to make first, or is not on this machine, is listed as not checked.

Options
  --set KEY=VALUE   replace one value, as in aha run (of a pipeline: STAGE.KEY=VALUE); may be repeated
  ${RECIPE_ENGINE_HELP}
  --samples N       completions to sample for each stage, made up to whole groups (${DEFAULT_SAMPLES})
  --skip-sampling   only what needs no model: settings, data, lengths, memory
  --strict          warnings fail too
  --json            the diagnosis as one JSON object (docs/doctor.md)
  --devices         which devices there are to compute on (engine.device), and what is missing of the others; alone
  --trl FILE        a recipe of TRL's; --trainer, --model, --data, --prompt, --num-processes, --accelerate, --engine and
                    --trl-version as in aha run --help

Exit code: 0 without a finding of severity error, 1 with one (with --strict, with a warning too), 130 after Ctrl-C.

Examples
  aha doctor recipes/countdown/tiny/recipe.yaml
  aha doctor recipes/countdown/tiny/recipe.yaml --set stages.r1-zero.learningRate=0.1 --skip-sampling
  aha doctor recipes/r1/qwen2.5/0.5b.yaml
`;

const { "dry-run": _, ...TRL } = TRL_OPTIONS;

const OPTIONS = {
  set: { type: "string", multiple: true, completes: "recipe-keys" },
  ...RECIPE_ENGINE_OPTIONS,
  samples: { type: "string" },
  "skip-sampling": { type: "boolean" },
  strict: { type: "boolean" },
  json: { type: "boolean" },
  devices: { type: "boolean" },
  ...TRL,
} as const;

export const doctorCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["recipe"] },
  run: async (args, context) => {
    const fromTrl = args.some((argument) => argument === "--trl" || argument.startsWith("--trl="));
    const asksForDevices = args.includes("--devices");
    const { values, positionals } = parseOptions("doctor", args, OPTIONS, fromTrl || asksForDevices ? [] : ["RECIPE"]);
    if (asksForDevices) {
      const other = args.find((argument) => argument !== "--devices" && argument !== "--json");
      if (other !== undefined) throw new ConfigError(`aha doctor --devices looks at no recipe; leave out ${other}.`);
      return (await import("./doctor-devices.ts")).reportDevices(context, values.json === true);
    }
    const samples = values.samples === undefined ? DEFAULT_SAMPLES : wholeNumberOption("samples", values.samples, 1);
    const path = values.trl ?? positionals[0]!;
    if (values.trl === undefined) requireNoTrlOptions(values);
    if (!existsSync(path)) throw new ConfigError(`There is no recipe ${path}.`);
    const look = async (options: DiagnoseOptions): Promise<Diagnosis> => {
      if (values.trl !== undefined) {
        const { recipe } = await openTrlRecipe(values.trl, values, { context, mode: "quiet" });
        return diagnose(withEngineOptions(recipe, values), options);
      }
      const isPipeline = await isPipelineFile(path);
      const overrides = [...(values.set ?? []), ...engineOverrides(values, { isPipeline })];
      if (isPipeline) return diagnosePipeline(await openPipeline(path, overrides), options);
      return diagnose(await loadRecipe(path, overrides), options);
    };
    const diagnosis = await examine(path, look, {
      ...{ context, samples: values["skip-sampling"] ? 0 : samples, quiet: values.json === true },
    });
    const colours = context.interactive && process.stdout.isTTY === true;
    context.out(values.json ? `${JSON.stringify(diagnosis)}\n` : diagnosisText(diagnosis, styleFor(colours)));
    const { error, warning } = diagnosis.counts;
    return error > 0 || (values.strict === true && warning > 0) ? 1 : 0;
  },
};

/** The pipeline as `aha run` would run it, in the directory that it would take. */
async function openPipeline(path: string, overrides: readonly string[]): Promise<ExaminedPipeline> {
  const pipeline = await loadPipeline(path, overrides);
  const { name, seed, threads } = pipeline.file;
  const directory = resolve(join("runs", `${name}-${seed}`));
  const stages = resolveStages(pipeline, directory);
  const pathOf = (stage: string) => outputPath(directory, stages.find((one) => one.name === stage)!);
  return { name, seed, threads, stages, suites: pipeline.suites, outputPath: pathOf };
}

async function examine(
  path: string,
  look: (options: DiagnoseOptions) => Promise<Diagnosis>,
  { context, samples, quiet }: { context: CommandContext; samples: number; quiet: boolean },
): Promise<Diagnosis> {
  const status = new StatusLine({
    write: context.note,
    interactive: context.interactive,
    columns: () => process.stderr.columns ?? 100,
  });
  try {
    const onProgress = quiet ? {} : { onProgress: (text: string) => status.update(() => `  ${text}`) };
    return await look({ samples, signal: context.signal, ...onProgress });
  } catch (error) {
    // A recipe that cannot be read is reported as a finding, in the same form as all others.
    if (error instanceof ConfigError) return refusedRecipe(path, error.message);
    throw error;
  } finally {
    status.clear();
  }
}
