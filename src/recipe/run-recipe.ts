/**
 * Runs a recipe: its stages in order, held-out evaluations between them, everything into the run directory.
 *
 *     evaluate the model as it is
 *     for each stage: train; checkpoint; evaluate
 *     write the trained model and the summary
 *
 * The evaluation after a stage is also the one before the next: nothing happens in between. A resumed run enters this
 * program at its newest checkpoint. Checkpoints are made where trainers ask for them, when the user stops the run, and
 * at the end of each stage, before its evaluation, which a run that is killed just then makes again, with the same draws.
 */

import type { Compute } from "../compute/compute.ts";
import { computeFor } from "../engine/open.ts";
import { CheckpointError, DivergenceError, RunInterrupted } from "../errors.ts";
import { evalMetrics } from "../eval/trl-names.ts";
import { checkpointName } from "../run/checkpoint.ts";
import type { EvaluationRecord } from "../run/records.ts";
import { RUN_FILES, type RunDirectory, type StageWriter } from "../run/run-directory.ts";
import { readRun } from "../run/run-reader.ts";
import type { RunSummary, StageSummary } from "../run/summary.ts";
import { createTask } from "../tasks/registry.ts";
import { dayOf } from "../tokenizer/format-date.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { StageContext, StageLog, TrainerState } from "../train/context.ts";
import { trainers } from "../train/trainers.ts";
import { type BestCheckpoint, bestCheckpoint, type EvaluatedStatistics } from "./best-checkpoint.ts";
import { drawnSamples } from "./completion-samples.ts";
import { pinInputFiles } from "./input-files.ts";
import { modelDirectoryOf, writeInitialModel } from "./model.ts";
import type { RunObserver } from "./observer.ts";
import { rolloutRecord } from "./rollouts.ts";
import { RunAlarms } from "./run-alarms.ts";
import type { Recipe, StageConfig } from "./schema.ts";
import { comparedStates } from "./summary.ts";
import { modelProgram, type RecipeParts, stageParts, stageSeed, type TrainedEngine } from "./trained-model.ts";

/** Name of a run's first state in its lineage. */
const INITIAL = "initial";

/** Everything a recipe names, built and checked against each other. */
export type PreparedRecipe = RecipeParts;

/**
 * Builds model, engine, tokenizer and task, and makes every check that can be made before training. A model with random
 * weights is written into the run directory. `pinsInputs`: what the recipe's files hold is recorded, and compared on a
 * resume; false where the caller sees to that. `compute`: what is open in this process already. The caller disposes of the
 * engine.
 *
 * @throws AhaError
 */
export async function prepareRecipe(
  recipe: Recipe,
  run: RunDirectory,
  { pinsInputs = true, compute }: { readonly pinsInputs?: boolean; readonly compute?: Compute } = {},
): Promise<PreparedRecipe> {
  const { init, path } = recipe.model;
  if (pinsInputs) await pinInputFiles(recipe, run);
  const modelDirectory = init
    ? await run.writeFolder(RUN_FILES.initialModel, (directory) => writeInitialModel(directory, init, recipe.seed))
    : await modelDirectoryOf(path!);
  const prepared = await openRecipe(recipe, modelDirectory, compute);
  try {
    for (const check of recipeChecks(prepared)) await check();
  } catch (error) {
    await prepared.engine.dispose();
    throw error;
  }
  return prepared;
}

/** Builds engine, tokenizer and task on the model in `modelDirectory`; the caller disposes of the engine. Throws AhaError. */
export async function openRecipe(recipe: Recipe, modelDirectory: string, opened?: Compute): Promise<PreparedRecipe> {
  const tokenizer = await loadTokenizer(modelDirectory);
  const now = dayOf(recipe.date);
  const task = await createTask(recipe.task, {
    seed: recipe.seed,
    renderChat: (messages, options) => tokenizer.applyChatTemplate(messages, { ...options, now }),
  });
  const heldOut = task.heldOut(recipe.evaluation.problems);
  const compute = computeFor(recipe.engine, opened);
  const engine = await modelProgram(recipe).open(recipe, modelDirectory, tokenizer, compute);
  const prepared = { recipe, engine, compute, tokenizer, task, heldOut };
  try {
    requireVocabulary(engine, tokenizer, modelDirectory);
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return prepared;
}

/** Every check that can be made before training, each of which throws an AhaError where it fails. */
export function recipeChecks(prepared: PreparedRecipe): (() => Promise<void>)[] {
  const { recipe } = prepared;
  return [
    async () => modelProgram(recipe).checkEvaluation(prepared),
    ...recipe.stages.map((stage) => async () => trainers.get(stage.trainer).check(stageParts(prepared, stage), stage)),
  ];
}

/**
 * Runs what is left of the recipe: all of it in a fresh directory, the rest in a resumed one.
 *
 * @throws RunInterrupted when `signal` aborts; the run can be resumed
 */
export async function runRecipe(
  prepared: PreparedRecipe,
  run: RunDirectory,
  signal: AbortSignal,
  observe: RunObserver = () => {},
): Promise<RunSummary> {
  try {
    return await new RecipeRun(prepared, run, signal, observe).run();
  } catch (error) {
    if (error instanceof RunInterrupted) run.event("interrupted", { reason: error.message });
    if (error instanceof DivergenceError) run.event("diverged", { reason: error.message });
    throw error;
  }
}

/** A tokenizer with more tokens than the model's vocabulary is another model's. */
function requireVocabulary({ info }: TrainedEngine, tokenizer: Tokenizer, directory: string): void {
  if (tokenizer.vocabSize <= info.vocabSize) return;
  throw new CheckpointError(
    `${directory}: the tokenizer has ${tokenizer.vocabSize} tokens, the model's vocabulary ${info.vocabSize}. ` +
      "They belong to two models; put the model's own tokenizer files there.",
  );
}

class RecipeRun {
  private readonly recipe: Recipe;
  private readonly prepared: PreparedRecipe;
  private readonly directory: RunDirectory;
  private readonly signal: AbortSignal;
  private readonly observe: RunObserver;
  /** The run's evaluations so far, without their answers. */
  private readonly evaluated: EvaluatedStatistics[] = [];
  /** Where the recipe asks for it. */
  private best: BestCheckpoint | undefined;
  private readonly alarms: RunAlarms;

  constructor(prepared: PreparedRecipe, directory: RunDirectory, signal: AbortSignal, observe: RunObserver) {
    this.recipe = prepared.recipe;
    this.prepared = prepared;
    this.directory = directory;
    this.signal = signal;
    this.observe = observe;
    this.alarms = new RunAlarms(prepared.recipe, directory, observe);
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
      this.evaluated.push(...readRun(this.directory.path).evaluations);
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
        save: (step, state) => this.checkpoint(stage, step, state, false),
      },
      evaluation: {
        every: stage.evaluateEvery,
        run: async (step) => {
          await this.evaluate(stage, step, "during");
          return this.noteBest();
        },
      },
      ...(resumed ? { resumed } : {}),
    };
    const outcome = await trainers.get(stage.trainer).train(context, stage);
    await this.checkpoint(stage, outcome.steps, { numTokens: outcome.numTokens }, true);
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
        writer.rollouts(rows.map((row) => rolloutRecord(row, rollouts)));
        if (completionSamples) writer.samples(drawnSamples(rows, completionSamples, seed));
      },
      timing: (row) => {
        writer.timing(row);
        this.observe({ type: "timing", stage, row });
      },
      event: (name, details) => writer.event(name, details),
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

  private async checkpoint(stage: StageConfig, step: number, trainerState: TrainerState, complete: boolean) {
    await this.directory.saveCheckpoint(
      {
        stage: stage.name,
        step,
        trainerState,
        stageComplete: complete,
        keep: this.recipe.keepCheckpoints,
        best: this.best?.name,
      },
      (directory) => this.prepared.engine.saveState(directory),
    );
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
      const evaluation = await program.evaluate(this.prepared, decoding, ({ finished, total }) => {
        stopIfAsked();
        this.observe({ type: "evaluating", stage: stage.name, finished, total });
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
    }
  }

  private async finish(): Promise<RunSummary> {
    const { engine, tokenizer } = this.prepared;
    const modelFrom = await this.takeBest();
    await this.directory.writeFolder(RUN_FILES.model, async (directory) => {
      await engine.saveWeights(directory, { dtype: this.recipe.model.saveDtype });
      await tokenizer.save(directory);
    });
    const summary = this.summarise(modelFrom);
    await this.directory.finish(summary);
    this.observe({ type: "finished", summary });
    return summary;
  }

  /**
   * Gives the engine the weights of the best checkpoint where the recipe wants it as the model; returns its name. One that
   * is damaged or gone is passed over, with a warning: the last state is there.
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

  /** Told from the logs alone: they are whole, whichever checkpoints somebody has removed to save space. */
  private summarise(modelFrom: string | undefined): RunSummary {
    const { recipe, directory } = this;
    const { parameterCount, vocabSize } = this.prepared.engine.info;
    const { metrics, evaluations, timings } = readRun(directory.path);
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
      model: { parameters: parameterCount, vocabSize },
      ...comparedStates(recipe, evaluations),
      stages,
      modelFrom: modelFrom ?? from,
      ...(this.best && { best: this.best }),
    };
  }
}
