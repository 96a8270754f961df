/**
 * Runs a recipe: its stages in order, held-out evaluations between them, everything into the run's store.
 *
 *     evaluate the model as it is
 *     for each stage: train; checkpoint; evaluate
 *     write the trained model and the summary
 *
 * The evaluation after a stage is also the one before the next: nothing happens in between. A resumed run enters this
 * program at its newest checkpoint. Checkpoints are made where trainers ask for them, when the user stops the run, and
 * at the end of each stage, before its evaluation, which a run that is killed just then makes again, with the same draws.
 */

import type { EngineUsage } from "../engine/contract/policy.ts";
import { DivergenceError, RunInterrupted } from "../errors.ts";
import { evalMetrics } from "../eval/trl-names.ts";
import type { Folder } from "../folder.ts";
import type { EvaluationRecord } from "../run/records.ts";
import { checkpointName, RUN_FILES, type RunStore } from "../run/run-store.ts";
import type { StageWriter } from "../run/stage-writer.ts";
import type { RunSummary, StageSummary } from "../run/summary.ts";
import type { StageContext, StageLog, TrainerState, WriteTrainerFiles } from "../train/context.ts";
import { trainers } from "../train/trainers.ts";
import { type BestCheckpoint, bestCheckpoint, type EvaluatedStatistics } from "./best-checkpoint.ts";
import { drawnSamples } from "./completion-samples.ts";
import type { RunObserver } from "./observer.ts";
import type { PreparedRun } from "./open-recipe.ts";
import { rolloutRecord } from "./rollouts.ts";
import { RunAlarms } from "./run-alarms.ts";
import type { Recipe, StageConfig } from "./schema.ts";
import { comparedStates } from "./summary.ts";
import { modelProgram, stageParts, stageSeed } from "./trained-model.ts";
import { nameTurnEnd } from "./turn-end.ts";
import { addUsage, NO_USAGE, USAGE_EVENT, usageIn } from "./usage.ts";

/** Name of a run's first state in its lineage. */
const INITIAL = "initial";

/** How often the diary has what an engine elsewhere computed, beside checkpoints and evaluations: that much a kill loses. */
const USAGE_EVERY_MS = 60_000;

/** How a prepared recipe is run. */
export interface RunOptions {
  /** Aborted when the user wants to stop: a checkpoint is made, and the run can be resumed. */
  readonly signal?: AbortSignal;
  readonly observe?: RunObserver;
}

/**
 * Runs what is left of the recipe: all of it in a fresh directory, the rest in a resumed one. What was prepared stays the
 * caller's to close.
 *
 * @throws RunInterrupted when `signal` aborts; DivergenceError; AhaError of another kind
 */
export async function runRecipe(prepared: PreparedRun, options: RunOptions = {}): Promise<RunSummary> {
  const { directory, trackers } = prepared;
  const { signal = new AbortController().signal, observe = () => {} } = options;
  trackers.onWarning = (message) => {
    directory.event("warning", { message });
    observe({ type: "warning", message });
  };
  const observeAll: RunObserver = (event) => {
    observe(event);
    trackers.observe(event);
  };
  const run = new RecipeRun(prepared, signal, observeAll);
  try {
    const summary = await run.run();
    await trackers.finish({ state: "finished", summary });
    return summary;
  } catch (error) {
    run.noteUsage();
    const reason = error instanceof Error ? error.message : String(error);
    const isInterrupted = error instanceof RunInterrupted;
    if (isInterrupted) directory.event("interrupted", { reason });
    if (error instanceof DivergenceError) directory.event("diverged", { reason });
    await trackers.finish({ state: isInterrupted ? "interrupted" : "failed", reason });
    throw error;
  }
}

class RecipeRun {
  private readonly recipe: Recipe;
  private readonly prepared: PreparedRun;
  private readonly directory: RunStore;
  private readonly signal: AbortSignal;
  private readonly observe: RunObserver;
  /** The run's evaluations so far, without their answers. */
  private readonly evaluated: EvaluatedStatistics[] = [];
  /** Where the recipe asks for it. */
  private best: BestCheckpoint | undefined;
  /** Of the engine's usage what is in the diary. */
  private noted: EngineUsage = NO_USAGE;
  private notedAt = performance.now();
  private readonly alarms: RunAlarms;

  constructor(prepared: PreparedRun, signal: AbortSignal, observe: RunObserver) {
    this.recipe = prepared.recipe;
    this.prepared = prepared;
    this.directory = prepared.directory;
    this.signal = signal;
    this.observe = observe;
    this.alarms = new RunAlarms(prepared.recipe, prepared.directory, observe);
  }

  async run(): Promise<RunSummary> {
    const { engine } = this.prepared;
    const resumed = this.directory.resumedFrom;
    const { stages } = this.recipe;
    let first = 0;
    let resumedState: TrainerState | undefined;
    if (resumed) {
      await engine.loadState(resumed.directory);
      const { manifest } = resumed;
      first = stages.findIndex(({ name }) => name === manifest.stage);
      resumedState = manifest.trainerState;
      this.evaluated.push(...this.directory.readLogs().evaluations);
      this.noteBest();
    }
    this.directory.keepRolloutsAs(this.recipe.rollouts);
    this.observe({ type: "ready", engine: engine.info, resumedFrom: resumed?.name });
    if (!resumed) await this.evaluate(stages[0]!, 0, "before");

    for (let index = first; index < stages.length; index++) {
      const stage = stages[index]!;
      const complete = index === first && resumed?.manifest.stageComplete === true;
      const steps = complete ? resumed.manifest.step : await this.train(stage, index, resumedState);
      resumedState = undefined;
      await this.evaluate(stage, steps, "after");
      this.noteBest();
      this.observe({ type: "stage-finished", stage, steps });
    }
    return this.finish();
  }

  /** Trains one stage from its start or from `resumed`, and leaves a checkpoint; returns its optimizer steps. */
  private async train(stage: StageConfig, index: number, resumed: TrainerState | undefined): Promise<number> {
    const writer = this.directory.stage(stage.name);
    const stepsDone = resumed ? this.directory.resumedFrom!.manifest.step : 0;
    this.observe({ type: "stage-started", stage, index, count: this.recipe.stages.length, stepsDone });
    writer.event("stage-started", { stepsDone });
    if (!resumed) await this.prepared.engine.resetOptimizer();
    const context: StageContext = {
      ...stageParts(this.prepared, stage),
      signal: this.signal,
      log: this.log(stage.name, writer, stageSeed(this.recipe.seed, stage.name)),
      onProgress: (progress) => this.observe({ type: "progress", stage: stage.name, progress }),
      checkpoint: {
        every: stage.checkpointEvery,
        save: (step, state, files) => this.checkpoint(stage, step, state, { files }),
      },
      evaluation: {
        every: stage.evaluateEvery,
        run: async (step) => {
          await this.evaluate(stage, step, "during");
          return this.noteBest();
        },
      },
      ...(resumed && { resumed, resumedFiles: this.folderAt(this.directory.resumedFrom!.directory) }),
    };
    const outcome = await trainers.get(stage.trainer).train(context, stage);
    await this.checkpoint(stage, outcome.steps, { numTokens: outcome.numTokens }, { isComplete: true });
    return outcome.steps;
  }

  private log(stage: string, writer: StageWriter, seed: number): StageLog {
    const { rollouts, completionSamples } = this.recipe;
    return {
      metrics: (row) => {
        writer.metrics(row);
        this.observe({ type: "metrics", stage, row });
        this.alarms.row(stage, row);
      },
      rollouts: (rows) => {
        const records = rows.map((row) => rolloutRecord(row, rollouts));
        writer.rollouts(records);
        this.prepared.trackers.rollouts(records.map((record) => ({ stage, ...record })));
        if (completionSamples) writer.samples(drawnSamples(rows, completionSamples, seed));
      },
      timing: (row) => {
        writer.timing(row);
        this.observe({ type: "timing", stage, row });
        if (performance.now() - this.notedAt >= USAGE_EVERY_MS) this.noteUsage();
      },
      event: (name, details) => {
        writer.event(name, details);
        if (name === "warning") this.observe({ type: "warning", message: `${stage}: ${details.message}` });
      },
    };
  }

  /** Finds the best checkpoint in the evaluations so far; true where it is a new one. */
  private noteBest(): boolean {
    const { bestCheckpoint: config } = this.recipe;
    if (config === undefined) return false;
    const best = bestCheckpoint(this.evaluated, config);
    const isNew = best?.name !== this.best?.name;
    this.best = best;
    if (isNew) this.directory.event("best-checkpoint", { ...best });
    return isNew;
  }

  private async checkpoint(
    stage: StageConfig,
    step: number,
    trainerState: TrainerState,
    { files, isComplete = false }: { readonly files?: WriteTrainerFiles | undefined; readonly isComplete?: boolean },
  ) {
    this.noteUsage();
    await this.directory.saveCheckpoint(
      {
        stage: stage.name,
        step,
        trainerState,
        stageComplete: isComplete,
        keep: this.recipe.keepCheckpoints,
        best: this.best?.name,
        elsewhere: this.prepared.engine.statesElsewhere,
      },
      async (place) => {
        await this.prepared.engine.saveState(place);
        await files?.(this.folderAt(place));
      },
    );
  }

  private folderAt(place: string): Folder {
    return this.prepared.compute.folderAt(place);
  }

  /**
   * What an engine elsewhere computed since the last time, into the diary, which a resume does not cut: what was computed twice
   * was paid for twice.
   */
  noteUsage(): void {
    this.notedAt = performance.now();
    const now = this.prepared.engine.usage?.();
    if (now === undefined) return;
    const since = addUsage(now, this.noted, -1);
    if (Object.values(since).every((tokens) => tokens === 0)) return;
    this.directory.event(USAGE_EVENT, { ...since });
    this.noted = now;
  }

  /** Tests the model on held-out problems: by sampling and, where the recipe wants it, greedily too. */
  private async evaluate(stage: StageConfig, step: number, moment: EvaluationRecord["moment"]): Promise<void> {
    const stopIfAsked = () => {
      // Between stages there is a checkpoint; during one the trainer makes it at its next step, and stops there.
      if (!this.signal.aborted || moment === "during") return;
      throw new RunInterrupted("Stopped in an evaluation: run the same command with --resume to go on.");
    };
    const program = modelProgram(this.recipe);
    for (const decoding of program.decodingsAt(this.recipe, moment)) {
      stopIfAsked();
      const evaluation = await program.evaluate(this.prepared, decoding, (progress) => {
        stopIfAsked();
        this.observe({ type: "evaluating", stage: stage.name, progress });
      });
      const { statistics, intervals, completions, sampling } = evaluation;
      const record = {
        ...{ step, moment, decoding, ...(sampling && { sampling }) },
        ...{ statistics, intervals, metrics: evalMetrics(statistics), completions: [...completions] },
      };
      this.directory.stage(stage.name).evaluation(record);
      this.evaluated.push({ stage: stage.name, step, moment, decoding, statistics });
      this.observe({ type: "evaluated", record: { stage: stage.name, ...record } });
      this.alarms.evaluation({ stage: stage.name, ...record });
      this.noteUsage();
    }
  }

  private async finish(): Promise<RunSummary> {
    const { engine, tokenizer, compute } = this.prepared;
    const modelFrom = await this.takeBest();
    await this.directory.writeFolder(RUN_FILES.model, async (place) => {
      await engine.saveWeights(place, { dtype: this.recipe.model.saveDtype });
      const folder = compute.folderAt(place);
      await tokenizer.save(folder);
      await nameTurnEnd(folder, this.prepared);
    });
    this.noteUsage();
    const summary = this.summarise(modelFrom);
    await this.directory.finish(summary);
    this.observe({ type: "finished", summary });
    return summary;
  }

  /**
   * Gives the engine the weights of the best checkpoint where the recipe wants it as the model; returns its name. If
   * that checkpoint is damaged or missing, a warning is given and the last state is used.
   */
  private async takeBest(): Promise<string | undefined> {
    const { best, directory } = this;
    if (best === undefined || this.recipe.bestCheckpoint?.useAsModel !== true) return undefined;
    const found = await directory.soundCheckpoint(best.name);
    if ("damage" in found) {
      const message = `The best checkpoint, ${best.name}, cannot be used (${found.damage}): model/ is the last state.`;
      directory.event("warning", { message });
      this.observe({ type: "warning", message });
      return undefined;
    }
    await this.prepared.engine.loadState(found.directory);
    return best.name;
  }

  /** Computed from the logs alone: they are complete even if the user has removed checkpoints to save space. */
  private summarise(modelFrom: string | undefined): RunSummary {
    const { recipe, directory } = this;
    const { parameterCount, vocabSize } = this.prepared.engine.info;
    const { metrics, evaluations, timings, events } = directory.readLogs();
    const usage = usageIn(events);
    let from = INITIAL;
    const stages = recipe.stages.map(({ name, trainer }): StageSummary => {
      const last = metrics.findLast(({ stage }) => stage === name);
      const steps = last?.step ?? 0;
      const numTokens = last?.num_tokens ?? 0;
      const seconds = timings.filter(({ stage }) => stage === name).reduce((sum, row) => sum + (row.step_time ?? 0), 0);
      const made = checkpointName(name, steps);
      const stage = { name, trainer, steps, numTokens, seconds, from, made };
      from = made;
      return stage;
    });
    return {
      recipe: recipe.name,
      question: recipe.question,
      seed: recipe.seed,
      recipeHash: directory.recipeHash,
      seconds: directory.seconds,
      model: { ...(parameterCount !== undefined && { parameters: parameterCount }), vocabSize },
      ...comparedStates(recipe, evaluations),
      stages,
      modelFrom: modelFrom ?? from,
      ...(usage && { usage }),
      ...(this.best && { best: this.best }),
    };
  }
}
