/** `aha run`: trains as a recipe says. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { DeviceMemoryError } from "../compute/gpu/faults.ts";
import { ConfigError, DeviceLostError, DivergenceError } from "../errors.ts";
import { count } from "../number-text.ts";
import { isPipelineFile } from "../pipeline/load.ts";
import { openRunDirectory } from "../recipe/begun-run.ts";
import { loadRecipe } from "../recipe/load.ts";
import type { RunObserver } from "../recipe/observer.ts";
import { prepareIn, recordedRecipe } from "../recipe/prepare-recipe.ts";
import { runRecipe } from "../recipe/run-recipe.ts";
import type { Recipe } from "../recipe/schema.ts";
import { threadsWarning } from "../recipe/threads.ts";
import { writeReport } from "../report/report.ts";
import { isFreeForRun, type RunDirectory } from "../run/run-directory.ts";
import { readRun } from "../run/run-reader.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { shellWord } from "../shell-word.ts";
import type { Command, CommandContext } from "./command.ts";
import { engineOverrides, RECIPE_ENGINE_HELP, RECIPE_ENGINE_OPTIONS, withEngineOptions } from "./engine-option.ts";
import { parseOptions } from "./parse-options.ts";
import { DASHBOARD_HELP, openRunDashboard } from "./run-dashboard.ts";
import { trainingEventLine } from "./run-events.ts";
import { pinRecipe } from "./run-hub.ts";
import { PIPELINE_HELP, PIPELINE_OPTIONS, requireNoPipelineOptions, runPipelineFile } from "./run-pipeline.ts";
import { type OpenedTrlRecipe, openTrlRecipe, requireNoTrlOptions, TRL_HELP, TRL_OPTIONS } from "./run-trl.ts";
import { recipeKeys, recipeKeysText } from "./schema-keys.ts";
import { RunTerminal } from "./terminal.ts";
import { resultsText } from "./terminal-results.ts";
import { styleFor } from "./terminal-style.ts";

/** Where runs go that are not told where. */
const RUNS = "runs";

const HELP = `Usage: aha run RECIPE [--set key=value]… [--out DIR] [--resume] [--json] [--quiet] [--offline]
       aha run PIPELINE [--from STAGE | --only STAGE] [--dry-run] [the options above]
       aha run --trl FILE.yaml [--model DIR] [--data FILE] [--dry-run] [the options above]
       aha run --keys [--json]

Trains as the recipe (a YAML file) says and writes everything into one run directory: metrics, completions with their
rewards, checkpoints, the trained model, summary.json, and report.html to read.

Options
  --set KEY=VALUE   replace one value of the recipe, e.g. --set seed=2 --set stages.r1-zero.iterations=50;
                    may be repeated
  ${RECIPE_ENGINE_HELP}
  --out DIR         the run directory, a new or an empty one (${RUNS}/NAME-SEED; if taken, NAME-SEED-2, …)
  --resume          continue an interrupted run, with the same recipe and --set options: that in --out DIR, or the
                    last unfinished one of the default directories
  --json            what happens as JSON lines on standard output, instead of text
  --quiet           only the result
${DASHBOARD_HELP}
  --offline         a model or data set of the Hub comes from the cache alone (also: HF_HUB_OFFLINE=1)
  --keys            every key that a recipe may have, by task and trainer: type, default, what it does

${PIPELINE_HELP}
${TRL_HELP}
Ctrl-C stops after the current step with a checkpoint (exit code 130); a second Ctrl-C stops at once. Either way
--resume goes on, and ends where an uninterrupted run would have ended: with the same recipe, the same input files and as
many threads, or not at all. A resume without --set engine.threads takes as many as the run began with, and one without
--device goes on on the same device. With another --device it goes on there, but not bit for bit, and says so: a run whose
GPU is gone goes on with --resume --device cpu.

Examples
  aha run recipes/countdown/tiny/recipe.yaml
  aha run recipes/countdown/tiny/recipe.yaml --set seed=2 --out runs/second
  aha run recipes/countdown/tiny/recipe.yaml --resume
  aha run --trl grpo-qwen-2.5-3b-deepseek-r1-zero-countdown.yaml --model my-model --set max_steps=20
`;

const OPTIONS = {
  set: { type: "string", multiple: true, completes: "recipe-keys" },
  ...RECIPE_ENGINE_OPTIONS,
  out: { type: "string", completes: "directory" },
  resume: { type: "boolean" },
  json: { type: "boolean" },
  quiet: { type: "boolean" },
  offline: { type: "boolean" },
  keys: { type: "boolean" },
  dashboard: { type: "boolean" },
  ...TRL_OPTIONS,
  ...PIPELINE_OPTIONS,
} as const;

export const runCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["recipe"] },
  run: async (args, context) => {
    const listsKeys = args.includes("--keys");
    const fromTrl = args.some((argument) => argument === "--trl" || argument.startsWith("--trl="));
    const { values, positionals } = parseOptions("run", args, OPTIONS, fromTrl || listsKeys ? [] : ["RECIPE"]);
    if (values.keys) return listKeys(args, values.json === true, context);
    const mode = values.json ? "json" : values.quiet ? "quiet" : "text";
    const isPipeline = !fromTrl && (await isPipelineFile(positionals[0]!));
    const overrides = [...(values.set ?? []), ...engineOverrides(values, { isPipeline })];
    if (isPipeline) {
      return await runPipelineFile(positionals[0]!, { ...values, set: overrides }, { context, mode });
    }
    requireNoPipelineOptions(values);
    const trl = values.trl === undefined ? undefined : await openTrlRecipe(values.trl, values, { context, mode });
    if (trl === undefined) requireNoTrlOptions(values);
    else if (values["dry-run"]) return 0;
    const recipe = trl ? withEngineOptions(trl.recipe, values) : await loadRecipe(positionals[0]!, overrides);
    const resume = values.resume === true;
    const path = values.out ?? trl?.directory ?? (resume ? unfinishedRun(recipe) : freeRun(recipe));
    const recorded = resume ? recordedRecipe(path) : undefined;
    const offline = values.offline === true;
    const pinned = await pinRecipe(recipe, { context, mode, offline, resumed: recorded });
    const opened = await openRunDirectory(path, pinned, { resume, recorded, asksForDevice: asksForDevice(overrides) });
    if (trl !== undefined && opened.run.isNew) await keepOriginal(opened.run, trl);
    const closeDashboard = await openRunDashboard(values.dashboard, path, context);
    try {
      await train(opened.run, { recipe: opened.recipe, context, mode, shownPath: path });
    } catch (error) {
      const text = isBegun(path) ? goingOnText(error, args, path) : undefined;
      if (text !== undefined) context.note(`${text}\n`);
      throw error;
    } finally {
      await closeDashboard();
    }
    return 0;
  },
};

/** Whether a device is asked for here, and not by the recipe's file alone. */
function asksForDevice(overrides: readonly string[]): boolean {
  return overrides.some((override) => /^engine(\.device)?=/.test(override));
}

/** Whether there is a run to go on with: one that could not be opened leaves no directory. */
function isBegun(path: string): boolean {
  return existsSync(join(path, RUN_FILES.recipe));
}

/**
 * The commands that go on with the run in `path`, where its device was lost or has too little memory; undefined for another error.
 * Of an option that is given twice the last counts.
 */
function goingOnText(error: unknown, args: readonly string[], path: string): string | undefined {
  if (!(error instanceof DeviceLostError || error instanceof DeviceMemoryError)) return undefined;
  const given = args.filter((argument) => argument !== "--resume").map(shellWord);
  const place = args.some((argument) => /^--out(=|$)/.test(argument)) ? [] : ["--out", shellWord(path)];
  const command = ["aha run", ...given, ...place, "--resume"].join(" ");
  const onProcessors = `  ${command} --device cpu   (on the processors, not bit for bit)`;
  // With other keys it would be another run, and with the same ones there is as little memory as before.
  if (error instanceof DeviceMemoryError)
    return `To go on with this run, for with changed keys a new one begins:\n${onProcessors}`;
  return `To go on with this run:\n  ${command}\n${onProcessors}`;
}

/** `--keys`, alone or with `--json`. */
function listKeys(args: readonly string[], json: boolean, { out }: CommandContext): number {
  const other = args.find((argument) => argument !== "--keys" && argument !== "--json");
  if (other !== undefined) throw new ConfigError(`aha run: --keys lists keys and runs nothing; leave out ${other}.`);
  const keys = recipeKeys();
  out(json ? `${JSON.stringify(keys, undefined, 2)}\n` : recipeKeysText(keys));
  return 0;
}

/** Keeps the TRL recipe as it was given beside what it became. */
async function keepOriginal(run: RunDirectory, { text, record }: OpenedTrlRecipe): Promise<void> {
  try {
    await run.writeText(RUN_FILES.trl, text);
    run.event("converted", record);
  } catch (error) {
    run.discard();
    throw error;
  }
}

interface Session {
  readonly recipe: Recipe;
  readonly context: CommandContext;
  readonly mode: "text" | "json" | "quiet";
  /** The run directory as the user would type it. */
  readonly shownPath: string;
}

async function train(run: RunDirectory, session: Session): Promise<void> {
  const { recipe, context, mode, shownPath } = session;
  const terminal =
    mode === "text" ? new RunTerminal(recipe, { write: context.note, interactive: context.interactive }) : undefined;
  terminal?.start(shownPath);
  const slow = run.isNew ? undefined : threadsWarning(recipe);
  for (const warning of [...run.warnings, ...(slow ? [slow] : [])]) context.note(`Warning: ${warning}\n`);
  const observe = observer(session, terminal);
  const prepared = await prepareIn(run, recipe);
  try {
    await runRecipe(prepared, { signal: context.signal, observe });
    await writeReport(run.path);
    if (mode !== "json") printResult(run.path, session);
  } catch (error) {
    if (error instanceof DivergenceError) await reportDivergence(run, session);
    throw error;
  } finally {
    terminal?.stop();
    await prepared.close();
  }
}

/** A run that ended early writes the report, too, with what it has. */
async function reportDivergence(run: RunDirectory, { context, shownPath }: Session): Promise<void> {
  await writeReport(run.path);
  context.note(`The run is lost; what happened is told in ${join(shownPath, RUN_FILES.report)}\n`);
}

function observer({ context, mode }: Session, terminal: RunTerminal | undefined): RunObserver {
  if (mode === "json") {
    return (event) => {
      const line = trainingEventLine(event);
      if (line !== undefined) context.out(`${JSON.stringify(line)}\n`);
    };
  }
  return (event) => {
    if (terminal) terminal.observe(event);
    else if (event.type === "warning") context.note(`Warning: ${event.message}\n`);
  };
}

function printResult(runPath: string, { context, shownPath }: Session): void {
  const colours = context.interactive && process.stdout.isTTY === true;
  const snapshot = readRun(runPath);
  const results = resultsText(snapshot, styleFor(colours));
  const report = join(shownPath, RUN_FILES.report);
  const model = join(shownPath, RUN_FILES.model);
  const { best, modelFrom, usage } = snapshot.summary!;
  const bestLine = best
    ? `The best checkpoint: ${best.name} (${best.metric} ${best.value.toFixed(3)})${best.name === modelFrom ? ", which is the model" : ""}\n`
    : "";
  const usageLine = usage
    ? `On the server:  ${count(usage.promptTokens)} tokens of prompts, ${count(usage.sampledTokens)} sampled, ` +
      `${count(usage.scoredTokens)} scored, ${count(usage.trainedTokens)} trained on\n`
    : "";
  context.out(`\n${results}\n\n${bestLine}${usageLine}The report: ${report}\nThe model:  ${model}\n`);
}

/** `runs/NAME-SEED`, or the first of `-2`, `-3`, … that is free. */
function freeRun(recipe: Recipe): string {
  for (let number = 1; ; number++) {
    const path = runPath(recipe, number);
    if (isFreeForRun(path)) return path;
  }
}

/** The newest of the recipe's default directories that holds an unfinished run. */
function unfinishedRun(recipe: Recipe): string {
  let found: string | undefined;
  for (let number = 1; existsSync(runPath(recipe, number)); number++) {
    const path = runPath(recipe, number);
    if (existsSync(join(path, RUN_FILES.recipe)) && !existsSync(join(path, RUN_FILES.summary))) found = path;
  }
  if (found !== undefined) return found;
  throw new ConfigError(
    `There is no unfinished run ${runPath(recipe, 1)} to resume. Name its directory with --out, or start without --resume.`,
  );
}

function runPath(recipe: Recipe, number: number): string {
  return join(RUNS, `${recipe.name}-${recipe.seed}${number === 1 ? "" : `-${number}`}`);
}
