/**
 * Runs a pipeline:
 *
 *     for each stage: is what it makes there, made of the same ingredients? else make it; write down what became of what
 *     measure each model on the held-out suites
 *     write the summary
 *
 * A stage's state is on the disk at every moment (its own folder, the lineage), so there is no other way of resuming than
 * to run again. Stages run one after another in the file's order.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Compute } from "../compute/compute.ts";
import type { DataStepProgress } from "../data-steps/candidates.ts";
import { LOCAL_ENGINE, specBeside } from "../engine/open.ts";
import { AhaError, ConfigError, RunInterrupted } from "../errors.ts";
import type { EvaluatedSoFar } from "../eval/evaluate.ts";
import { writeWhole } from "../files.ts";
import type { RunEvent } from "../recipe/observer.ts";
import type { Recipe } from "../recipe/schema.ts";
import { PIPELINE_FILES, type PipelineSummary, type StageRecord, type SuiteResult } from "../run/pipeline-records.ts";
import { recipeHash } from "../run/recipe-file.ts";
import { removeUnfinished } from "../run/resumption.ts";
import type { PipelineDirectory } from "./directory.ts";
import { type LoadedPipeline, outputPath, type ResolvedStage } from "./load.ts";
import { measuredBefore, measureStage } from "./measure.ts";
import { outputRecord } from "./output-state.ts";
import {
  type Choice,
  forcedStages,
  ingredientsOf,
  isForcedAnew,
  type PlanInputs,
  planPipeline,
  planStage,
} from "./plan.ts";
import { needsOf } from "./references.ts";
import { DEFAULT_COLUMNS } from "./schema.ts";
import { runTrainStage } from "./train-stage.ts";

/** The events that a running pipeline reports to an observer. */
export type RunnerEvent =
  | {
      readonly type: "stage";
      readonly name: string;
      readonly kind: string;
      /** 0-based, of `count`. */
      readonly index: number;
      readonly count: number;
      readonly action: "run" | "resume" | "reuse" | "left";
      readonly reason: string;
      /** Of a training stage. */
      readonly recipe?: Recipe;
      readonly folder: string;
    }
  | { readonly type: "training"; readonly name: string; readonly event: RunEvent }
  | { readonly type: "collecting"; readonly name: string; readonly progress: DataStepProgress }
  | { readonly type: "collected"; readonly name: string; readonly lineage: Readonly<Record<string, unknown>> }
  | { readonly type: "measuring"; readonly name: string; readonly suite: string; readonly progress: EvaluatedSoFar }
  | { readonly type: "measured"; readonly name: string; readonly suite: string; readonly result: SuiteResult }
  | { readonly type: "stage-finished"; readonly name: string; readonly record: StageRecord }
  | { readonly type: "finished"; readonly summary: PipelineSummary };

/** Surroundings of a run. */
export interface RunnerOptions {
  readonly choice: Choice;
  readonly signal: AbortSignal;
  readonly offline: boolean;
  readonly observe: (event: RunnerEvent) => void;
  /** Writes the page of a training stage's run. */
  readonly reportRun: (runPath: string) => Promise<unknown>;
}

/**
 * Runs what has to be run, and measures and summarises everything that is there.
 *
 * @throws AhaError of any kind; RunInterrupted where `signal` aborts: the same command goes on
 */
export async function runStages(
  pipeline: LoadedPipeline,
  stages: readonly ResolvedStage[],
  directory: PipelineDirectory,
  options: RunnerOptions,
): Promise<PipelineSummary> {
  return new Runner(pipeline, stages, directory, options).run();
}

class Runner {
  private readonly pipeline: LoadedPipeline;
  private readonly stages: readonly ResolvedStage[];
  private readonly directory: PipelineDirectory;
  private readonly options: RunnerOptions;
  private readonly inputs: PlanInputs;
  /** What all stages compute with. */
  private readonly compute: Compute;
  /** Stages whose finished result is to be made again, though nothing has changed. */
  private readonly madeAnew = new Set<string>();

  constructor(
    pipeline: LoadedPipeline,
    stages: readonly ResolvedStage[],
    directory: PipelineDirectory,
    options: RunnerOptions,
  ) {
    this.pipeline = pipeline;
    this.stages = stages;
    this.directory = directory;
    this.options = options;
    this.compute = Compute.open({ threads: directory.lineage.threads });
    this.inputs = {
      stages,
      directory: directory.path,
      source: pipeline.path,
      lineage: directory.lineage,
      hashes: new Map(),
    };
  }

  async run(): Promise<PipelineSummary> {
    const { choice } = this.options;
    // The whole plan once, before anything is changed: a file that is not there, a choice that cannot be met.
    await planPipeline(this.inputs, choice);
    await this.directory.keepFile(this.pipeline.file);
    await this.dropForgotten();
    for (const name of forcedStages(this.stages, choice)) {
      if (!isForcedAnew(this.directory.record(name))) continue;
      await this.directory.setAside(name, { isSame: false });
      this.madeAnew.add(name);
    }
    const evaluations = new Map<string, Readonly<Record<string, SuiteResult>>>();
    for (const [index, stage] of this.stages.entries()) {
      if (choice.only !== undefined && choice.only !== stage.name) await this.leave(stage, index);
      else await this.runStage(stage, index);
      if (this.directory.record(stage.name)?.state !== "finished") continue;
      evaluations.set(stage.name, await this.measure(stage, choice.only === undefined || choice.only === stage.name));
    }
    return this.finish(evaluations);
  }

  /** Stages that the file does not list any more make no part of the lineage; their results are set aside. */
  private async dropForgotten(): Promise<void> {
    const names = this.stages.map(({ name }) => name);
    for (const name of Object.keys(this.directory.lineage.stages)) {
      if (!names.includes(name)) await this.directory.setAside(name, { isSame: false });
    }
  }

  private async leave(stage: ResolvedStage, index: number): Promise<void> {
    this.announce(stage, index, "left", `--only ${this.options.choice.only}`);
    const record = this.directory.record(stage.name);
    if (record) await this.directory.note(stage.name, { ...record, session: "left" });
  }

  private async runStage(stage: ResolvedStage, index: number): Promise<void> {
    this.stopIfAsked();
    const { name } = stage;
    const { action, reason } = await planStage(this.inputs, stage);
    const ingredients = await ingredientsOf(this.inputs, stage);
    const hash = recipeHash(ingredients);
    if (action === "reuse" && !this.madeAnew.has(name)) {
      if (this.directory.record(name)?.hash !== hash) await this.directory.takeBack(name, hash);
      this.announce(stage, index, "reuse", reason);
      await this.directory.note(name, { ...this.directory.record(name)!, session: "reused" });
      return;
    }
    const why = this.madeAnew.has(name) ? "made again as asked" : reason;
    this.announce(stage, index, action === "resume" ? "resume" : "run", why);
    if (action !== "resume") {
      await this.directory.setAside(name, { isSame: this.directory.record(name)?.hash === hash });
    }
    const before = this.directory.record(name)?.seconds ?? 0;
    const startedAt = performance.now();
    const seconds = () => before + (performance.now() - startedAt) / 1000;
    const begun: StageRecord = { hash, state: "begun", ingredients, seconds: before, session: "run" };
    await this.directory.note(name, begun);
    let rows: StageRecord["rows"];
    try {
      rows = await this.work(stage);
    } catch (error) {
      // The error names its stage, because a pipeline has many.
      if (error instanceof AhaError && !(error instanceof RunInterrupted)) {
        error.message = `Stage ${name}: ${error.message}`;
      }
      throw error;
    } finally {
      await this.directory.note(name, { ...begun, seconds: seconds() });
    }
    const path = outputPath(this.directory.path, stage);
    const output = await outputRecord(path, stage.makes, outputPath("", stage));
    const record: StageRecord = { ...begun, state: "finished", output, ...(rows && { rows }), seconds: seconds() };
    await this.directory.note(name, record);
    this.options.observe({ type: "stage-finished", name, record });
  }

  /** Does what the stage says; the rows of what it collected. */
  private async work(stage: ResolvedStage): Promise<StageRecord["rows"]> {
    const { name, work } = stage;
    const { observe, signal, offline, reportRun } = this.options;
    const folder = this.directory.folder(name);
    if (work.kind === "train") {
      await runTrainStage(work.recipe, {
        folder,
        output: outputPath(this.directory.path, stage),
        compute: this.compute,
        offline,
        signal,
        observe: (event) => observe({ type: "training", name, event }),
        report: reportRun,
      });
      return undefined;
    }
    mkdirSync(folder, { recursive: true });
    await removeUnfinished(folder);
    const { train, test, lineage } = await work.step.run(work.config, {
      directory: folder,
      signal,
      compute: this.compute,
      inputs: Object.fromEntries(
        needsOf(stage).map((needed) => [needed, this.directory.record(needed)!.output!.hash] as const),
      ),
      nameOf: (path) => this.stages.find((other) => outputPath(this.directory.path, other) === path)?.name ?? path,
      onProgress: (progress) => observe({ type: "collecting", name, progress }),
    });
    observe({ type: "collected", name, lineage });
    return { train, test };
  }

  /** The measurements of the stage's model; where `isWanted` is false only those that are there. */
  private async measure(stage: ResolvedStage, isWanted: boolean): Promise<Readonly<Record<string, SuiteResult>>> {
    const { suites } = this.pipeline;
    const output = this.directory.record(stage.name)!.output!;
    if (stage.makes !== "model" || !stage.isEvaluated || suites.length === 0) return {};
    const about = {
      directory: this.directory.path,
      stage: stage.name,
      model: { path: outputPath(this.directory.path, stage), hash: output.hash },
      // A model is measured where it was trained.
      engine: stage.work.kind === "train" ? specBeside(stage.work.recipe.engine) : LOCAL_ENGINE,
    };
    if (!isWanted) {
      const found = suites.map((suite) => [suite.name, measuredBefore(about, suite)] as const);
      return Object.fromEntries(found.flatMap(([suite, result]) => (result === undefined ? [] : [[suite, result]])));
    }
    this.stopIfAsked();
    const { observe, signal } = this.options;
    const results = await measureStage(
      {
        ...about,
        compute: this.compute,
        signal,
        onProgress: (suite, progress) => observe({ type: "measuring", name: stage.name, suite, progress }),
      },
      suites,
    );
    for (const [suite, result] of Object.entries(results)) {
      observe({ type: "measured", name: stage.name, suite, result });
    }
    return results;
  }

  private async finish(
    evaluations: ReadonlyMap<string, Readonly<Record<string, SuiteResult>>>,
  ): Promise<PipelineSummary> {
    const { file } = this.pipeline;
    const stages = this.stages.flatMap((stage) => {
      const record = this.directory.record(stage.name);
      if (record?.output === undefined) return [];
      const { session, hash, seconds, rows } = record;
      const { stamp: _, ...output } = record.output;
      return [
        {
          name: stage.name,
          kind: stage.kind,
          ...(stage.note === undefined ? {} : { note: stage.note }),
          session,
          hash,
          seconds,
          needs: needsOf(stage),
          output,
          ...(rows && { rows }),
          evaluations: { ...evaluations.get(stage.name) } as Record<string, SuiteResult>,
        },
      ];
    });
    const isMeasured = (column: string) =>
      stages.some((stage) => Object.values(stage.evaluations).some((result) => column in result.statistics));
    const summary: PipelineSummary = {
      pipeline: file.name,
      question: file.question,
      seed: file.seed,
      seconds: stages.reduce((sum, { seconds }) => sum + seconds, 0),
      columns: file.evaluate?.columns ?? DEFAULT_COLUMNS.filter((column) => isMeasured(column)),
      suites: this.pipeline.suites.map(({ name }) => name),
      stages,
    };
    const path = join(this.directory.path, PIPELINE_FILES.summary);
    await writeWhole(path, `${JSON.stringify(summary, null, 2)}\n`);
    this.options.observe({ type: "finished", summary });
    return summary;
  }

  private announce(stage: ResolvedStage, index: number, action: "run" | "resume" | "reuse" | "left", reason: string) {
    const { name, kind, work } = stage;
    this.options.observe({
      type: "stage",
      name,
      kind,
      index,
      count: this.stages.length,
      action,
      reason,
      folder: this.directory.folder(name),
      ...(work.kind === "train" ? { recipe: work.recipe } : {}),
    });
  }

  private stopIfAsked(): void {
    if (this.options.signal.aborted) throw new RunInterrupted("Stopped between stages. Run the same command to go on.");
  }
}

/** Refuses --resume where nothing was begun. Throws ConfigError. */
export function requireBegun(isBegun: boolean, directory: string): void {
  if (isBegun) return;
  throw new ConfigError(
    `There is no pipeline in ${directory} to resume. Name its directory with --out, or leave --resume out.`,
  );
}
