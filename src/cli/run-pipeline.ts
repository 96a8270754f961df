/** `aha run` with a pipeline: the plan, the stages as they are run, and the table at the end. */

import { join, resolve } from "node:path";
import { defaultThreads } from "../compute/compute.ts";
import { ConfigError, DivergenceError } from "../errors.ts";
import { type ResolveOptions, resolveDataset, resolveModel } from "../hub/resolve.ts";
import { holdsPipeline, PipelineDirectory, readPipelineLineage } from "../pipeline/directory.ts";
import { type AskHub, pinHubNames } from "../pipeline/hub-pins.ts";
import { type LoadedPipeline, loadPipeline, type ResolvedStage, resolveStages } from "../pipeline/load.ts";
import { checkChoice, type PlannedStage, planPipeline } from "../pipeline/plan.ts";
import { type RunnerEvent, requireBegun, runStages } from "../pipeline/runner.ts";
import { writePipelineReport } from "../report/pipeline-report.ts";
import { pipelineTable } from "../report/pipeline-table.ts";
import { writeReport } from "../report/report.ts";
import { PIPELINE_FILES, type PipelineSummary } from "../run/pipeline-records.ts";
import type { CommandContext } from "./command.ts";
import { PipelineTerminal } from "./pipeline-terminal.ts";
import { openRunDashboard } from "./run-dashboard.ts";
import { trainingEventLine } from "./run-events.ts";

/** Where pipelines go that are not told where. */
const RUNS = "runs";

/** The part of `aha run --help` about pipelines. */
export const PIPELINE_HELP = `A file with the key "pipeline" is a pipeline of stages, trainers and data steps (docs/pipelines.md). Its run directory
(${RUNS}/NAME-SEED) keeps what each stage made; a stage whose configuration, inputs and files are what they were is not run
again, so the same command continues an interrupted pipeline, and runs only those stages of a changed one that the change affects.
  --set STAGE.KEY=VALUE  replace one value of a stage, e.g. --set r1-zero.iterations=50
  --dry-run         print which stages would run, which are reused, and why, and stop
  --from STAGE      run this stage and those that depend on it again
  --only STAGE      run this stage alone; what it needs must be there
`;

/** Options that need a pipeline. */
export const PIPELINE_OPTIONS = {
  from: { type: "string", completes: "stages" },
  only: { type: "string", completes: "stages" },
} as const;

/** Values of the options of `aha run`, as far as a pipeline is concerned. */
export interface PipelineValues {
  readonly set?: string[] | undefined;
  readonly out?: string | undefined;
  readonly resume?: boolean | undefined;
  readonly offline?: boolean | undefined;
  readonly from?: string | undefined;
  readonly only?: string | undefined;
  readonly "dry-run"?: boolean | undefined;
  readonly dashboard?: boolean | undefined;
}

/** How a command prints. */
export interface PipelineOutput {
  readonly context: CommandContext;
  readonly mode: "text" | "json" | "quiet";
}

/** Refuses the options of pipelines for a recipe. Throws ConfigError. */
export function requireNoPipelineOptions(values: PipelineValues): void {
  const given = Object.keys(PIPELINE_OPTIONS).find((name) => name in values);
  if (given === undefined) return;
  throw new ConfigError(`aha run: --${given} goes with a pipeline, a file with the key "pipeline"; this is a recipe.`);
}

/** Options of TRL recipes that a pipeline has no use for. */
const NOT_FOR_PIPELINES = ["model", "data", "prompt", "num-processes", "accelerate", "trl-version"];

/**
 * Runs the pipeline in `path`, or prints its plan.
 *
 * @throws AhaError for anything the user can correct; RunInterrupted
 */
export async function runPipelineFile(path: string, values: PipelineValues, output: PipelineOutput): Promise<number> {
  const stray = NOT_FOR_PIPELINES.find((name) => name in values);
  if (stray !== undefined)
    throw new ConfigError(`aha run: --${stray} goes with --trl FILE; a pipeline says this itself (--set).`);
  const { context, mode } = output;
  const loaded = await loadPipeline(path, values.set);
  const { file } = loaded;
  const shownPath = values.out ?? join(RUNS, `${file.name}-${file.seed}`);
  const resolved = resolveStages(loaded, shownPath);
  const choice = { from: values.from, only: values.only };
  checkChoice(resolved, choice);
  if (values.resume) requireBegun(holdsPipeline(shownPath), shownPath);
  const lineage = readPipelineLineage(shownPath);
  const threads = file.threads ?? lineage?.threads ?? defaultThreads();
  const about = { pipeline: file.name, seed: file.seed, threads };
  const askHub = values["dry-run"] ? undefined : hubAsker({ offline: values.offline === true, signal: context.signal });
  const { stages, suites } = await pinHubNames(loaded, resolved, { lineage, only: choice.only, askHub });
  const pipeline = { ...loaded, suites };
  if (values["dry-run"]) {
    await printPlan(pipeline, stages, { shownPath, choice, output, about });
    return 0;
  }
  const directory = await PipelineDirectory.open(shownPath, about);
  const closeDashboard = await openRunDashboard(values.dashboard, shownPath, context);
  const terminal =
    mode === "text" ? new PipelineTerminal({ write: context.note, interactive: context.interactive }) : undefined;
  terminal?.start(file, shownPath);
  try {
    const summary = await runStages(pipeline, stages, directory, {
      choice,
      signal: context.signal,
      offline: values.offline === true,
      observe: (event) => {
        terminal?.observe(event);
        if (mode === "json") printEvent(event, context);
      },
      reportRun: writeReport,
    });
    await writePipelineReport(directory.path);
    terminal?.stop();
    if (mode !== "json") printResult(summary, shownPath, context);
    return 0;
  } catch (error) {
    if (error instanceof DivergenceError)
      context.note("A stage was given up: its run directory tells what happened.\n");
    throw error;
  } finally {
    terminal?.stop();
    await closeDashboard();
    directory.close();
  }
}

/** Brings what a name on the Hub means now into the cache, and tells its commit. */
function hubAsker(options: ResolveOptions): AskHub {
  return async (name, kind) => (await (kind === "model" ? resolveModel : resolveDataset)(name, options)).pinned ?? name;
}

interface PlanRequest {
  readonly shownPath: string;
  readonly choice: { readonly from: string | undefined; readonly only: string | undefined };
  readonly output: PipelineOutput;
  readonly about: { readonly pipeline: string; readonly seed: number; readonly threads: number };
}

async function printPlan(
  pipeline: LoadedPipeline,
  stages: readonly ResolvedStage[],
  { shownPath, choice, output: { context, mode }, about }: PlanRequest,
): Promise<void> {
  const lineage = { stages: {}, superseded: {}, ...readPipelineLineage(shownPath), ...about };
  const directory = resolve(shownPath);
  const planned = await planPipeline({ stages, directory, source: pipeline.path, lineage, hashes: new Map() }, choice);
  if (mode === "json") {
    const lines = planned.map(({ stage, action, reason, isConditional = false }) => ({
      stage: stage.name,
      kind: stage.kind,
      makes: stage.makes,
      needs: [...new Set(stage.references.map(({ from }) => from))],
      action,
      reason,
      conditional: isConditional,
    }));
    context.out(`${JSON.stringify({ pipeline: about.pipeline, directory: shownPath, stages: lines })}\n`);
    return;
  }
  context.out(planText(planned, shownPath));
}

function planText(planned: readonly PlannedStage[], shownPath: string): string {
  const width = Math.max(...planned.map(({ stage }) => stage.name.length));
  const kinds = Math.max(...planned.map(({ stage }) => stage.kind.length));
  const lines = planned.map(
    ({ stage, action, reason }) =>
      `  ${stage.name.padEnd(width)}  ${stage.kind.padEnd(kinds)}  ${action.padEnd(6)}  ${reason}`,
  );
  const runs = planned.filter(({ action }) => action === "run" || action === "resume").length;
  return `In ${shownPath}, ${runs} of ${planned.length} stages would run:\n${lines.join("\n")}\n`;
}

/** One JSON line for an event; what only a progress line needs is left out. */
function printEvent(event: RunnerEvent, { out }: CommandContext): void {
  switch (event.type) {
    case "collecting":
    case "measuring":
      return;
    case "training": {
      const line = trainingEventLine(event.event);
      if (line !== undefined) out(`${JSON.stringify({ type: "training", name: event.name, event: line })}\n`);
      return;
    }
    case "stage": {
      const { recipe: _, ...line } = event;
      out(`${JSON.stringify(line)}\n`);
      return;
    }
    case "stage-finished": {
      const { hash, output, rows, seconds } = event.record;
      out(`${JSON.stringify({ type: event.type, name: event.name, hash, output, rows, seconds })}\n`);
      return;
    }
    default:
      out(`${JSON.stringify(event)}\n`);
  }
}

function printResult(summary: PipelineSummary, shownPath: string, { out }: CommandContext): void {
  const table = pipelineTable(summary);
  const rows = [table.header, ...table.rows.map(({ cells }) => cells)];
  const widths = table.header.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("   ")
      .trimEnd();
  const report = join(shownPath, PIPELINE_FILES.report);
  out(
    `\n${rows.map(line).join("\n")}\n\nThe report:  ${report}\nThe lineage: ${join(shownPath, PIPELINE_FILES.lineage)}\n`,
  );
}
