/**
 * The loop that every trainer has: units of work, one after another, until the stage is as long as it should be. A unit is
 * an optimizer step, or an iteration where a policy samples first and is then trained on what it wrote.
 *
 *     begin at the start, or where the checkpoint was made
 *     for each unit that is left:
 *       where the user asked to stop: save a checkpoint and end
 *       do the trainer's work: any number of optimizer steps, each at the learning rate that the schedule has for it
 *       log what it came to; end where too many steps in a row were skipped; evaluate and save where that is due
 *
 * A trainer gives the work of one unit and reads like its algorithm. Interruption and divergence end a stage between units
 * only, or before the first step of one: there the states of trainer and engine belong together.
 */

import { z } from "zod";
import type { AdamParams } from "../engine/contract/policy.ts";
import type { SampledSoFar } from "../engine/contract/sampler.ts";
import { CheckpointError, RunInterrupted } from "../errors.ts";
import type { MetricsRow, StageContext, TrainerState, TrainOutcome, WriteTrainerFiles } from "./context.ts";
import { adamParamsAt, type OptimizerConfig } from "./optimizer-config.ts";
import { SkippedSteps, type StepOutcome } from "./skipped-steps.ts";

/** How long a stage is, and what its trainer has to remember. */
export interface StagePlan<Key extends string> {
  /** Optimizer steps of the whole stage, which the learning rate's schedule is over. */
  readonly steps: number;
  /** Units of work, where a unit is an iteration; without it a unit is an optimizer step. */
  readonly iterations?: number;
  /** Names of whole numbers of the trainer's own that checkpoints keep. They are 0 at the start of a stage. */
  readonly state?: readonly Key[];
  /** Texts that checkpoints keep too; asked for when one is made. */
  readonly remember?: () => Readonly<Record<string, string>>;
  /** Files that they keep, of the trainer as it is when it is asked; undefined: none. */
  readonly files?: () => WriteTrainerFiles | undefined;
}

/** What of a trainer a checkpoint keeps. */
interface SavedTrainer {
  readonly state: TrainerState;
  readonly files: WriteTrainerFiles | undefined;
}

/** What a unit measured, under the names that metrics have. */
export type UnitMetrics = Readonly<Record<string, number>>;

type StateKey = "step" | "numTokens";

/** One stage of training; see the file's header. */
export class StageLoop<Key extends string = never> {
  /** What checkpoints keep. The loop counts `step`; the trainer `numTokens`, prompts included, and its own numbers. */
  readonly state: Record<StateKey | Key, number>;
  private readonly context: StageContext;
  private readonly config: OptimizerConfig;
  private readonly plan: StagePlan<Key>;
  private readonly skipped: SkippedSteps;
  private unitsDone: number;
  private readonly seconds = new Map<string, number>();
  private rate = 0;
  /** What checkpoints keep, as it was when the unit at hand began. */
  private atStart: SavedTrainer = { state: {}, files: undefined };

  /** @throws CheckpointError where the checkpoint holds the state of another trainer. */
  constructor(context: StageContext, config: OptimizerConfig, plan: StagePlan<Key>) {
    this.context = context;
    this.config = config;
    this.plan = plan;
    const { iteration, skippedInARow, ...state } = startState(context.resumed, plan);
    this.state = state as Record<StateKey | Key, number>;
    this.unitsDone = plan.iterations === undefined ? this.state.step : iteration!;
    this.skipped = new SkippedSteps(skippedInARow!, config.maxSkippedSteps, context.log);
  }

  /** Units that are done. */
  get done(): number {
    return this.unitsDone;
  }

  /** Units of the whole stage. */
  get total(): number {
    return this.plan.iterations ?? this.plan.steps;
  }

  /** Learning rate of the newest optimizer step. */
  get learningRate(): number {
    return this.rate;
  }

  /**
   * Does the units that are left. `work` is given the number of its unit (from 0) and returns the row of metrics.
   *
   * @throws RunInterrupted, DivergenceError
   */
  async run(work: (unit: number) => Promise<UnitMetrics>): Promise<TrainOutcome> {
    while (this.done < this.total) {
      this.atStart = this.saved();
      await this.stopIfAsked();
      const startedAt = performance.now();
      this.seconds.clear();
      const metrics = await work(this.done);
      this.unitsDone++;
      if (this.plan.iterations === undefined) this.state.step = this.unitsDone;
      await this.finishUnit({ step: this.state.step, ...metrics }, (performance.now() - startedAt) / 1000);
    }
    return { steps: this.state.step, numTokens: this.state.numTokens };
  }

  /**
   * One optimizer step. `take` is given the parameters of AdamW that the schedule has for it, and returns what the engine
   * said; undefined where there was nothing to learn from. The step counts either way.
   */
  async step<Result extends Partial<StepOutcome> | undefined>(
    take: (adam: AdamParams) => Promise<Result>,
  ): Promise<Result> {
    const adam = adamParamsAt(this.state.step, this.plan.steps, this.config);
    this.state.step++;
    this.rate = adam.learningRate;
    const result = await take(adam);
    if (result?.applied !== undefined) this.skipped.record(result as StepOutcome, this.state.step);
    return result;
  }

  /** For the metrics: optimizer steps that were skipped since this was last asked. */
  takeSkipped(): number {
    return this.skipped.takeCount();
  }

  /** Does a part of a unit whose seconds are logged under `NAME_time`; what is left of the unit is `update_time` then. */
  async timed<T>(name: string, work: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      const seconds = (performance.now() - startedAt) / 1000;
      this.seconds.set(name, (this.seconds.get(name) ?? 0) + seconds);
    }
  }

  /** How far the sampling of the unit at hand is. */
  readonly sampling = (sampled: SampledSoFar): void => {
    this.context.onProgress?.({ phase: "sampling", done: this.done, total: this.total, sampled });
  };

  /** Reports the next phase of the current unit. */
  begins(phase: "judging" | "updating"): void {
    this.context.onProgress?.({ phase, done: this.done, total: this.total });
  }

  /**
   * Saves a checkpoint and throws where the user asked to stop. A trainer may call it in a unit too, before the first
   * optimizer step of it: what it did is then done again, in the same way, on resumption.
   *
   * @throws RunInterrupted
   */
  async stopIfAsked(): Promise<void> {
    const { signal, checkpoint } = this.context;
    if (!signal.aborted) return;
    await checkpoint?.save(this.state.step, this.atStart.state, this.atStart.files);
    const saved = checkpoint ? "its state is saved; run the same command with --resume to go on" : "nothing was saved";
    throw new RunInterrupted(`Stopped at step ${this.state.step}: ${saved}.`);
  }

  /**
   * Logs the metrics of a unit, then evaluates and saves where that is due. It evaluates first, so that no resume
   * repeats the evaluation.
   */
  private async finishUnit(row: MetricsRow, seconds: number): Promise<void> {
    const { context, done, total } = this;
    const { step } = this.state;
    context.log.metrics(row);
    context.log.timing({ step, ...this.timing(seconds) });
    context.onProgress?.({ phase: "done", done, total, metrics: row });

    const divergence = this.skipped.divergence(step, context.checkpoint !== undefined);
    if (divergence !== undefined) {
      // A resumed stage continues after the skipped steps, with their count at 0.
      const { state, files } = this.saved();
      await context.checkpoint?.save(step, { ...state, skippedInARow: 0 }, files);
      throw divergence;
    }

    const { evaluation, checkpoint } = context;
    const isDue = (every: number) => every > 0 && done % every === 0 && done < total;
    const isWanted = evaluation && isDue(evaluation.every) ? await evaluation.run(step) : undefined;
    if (!checkpoint || !(isWanted || isDue(checkpoint.every))) return;
    const { state, files } = this.saved();
    await checkpoint.save(step, state, files);
  }

  private timing(seconds: number): UnitMetrics {
    const parts = [...this.seconds].map(([name, value]) => [`${name}_time`, value] as const);
    const rest = parts.reduce((left, [, value]) => left - value, seconds);
    return { step_time: seconds, ...Object.fromEntries(parts), ...(parts.length > 0 && { update_time: rest }) };
  }

  private saved(): SavedTrainer {
    const { plan, done, skipped, state } = this;
    const iteration = plan.iterations === undefined ? {} : { iteration: done };
    return {
      state: { ...iteration, ...state, skippedInARow: skipped.inARow, ...plan.remember?.() },
      files: plan.files?.(),
    };
  }
}

/** The numbers to start from: those of the checkpoint, or zeros. Texts in it are read by the parts that saved them. */
function startState<Key extends string>(
  resumed: TrainerState | undefined,
  { iterations, state = [] }: StagePlan<Key>,
): Record<string, number> {
  const keys = [...(iterations === undefined ? [] : ["iteration"]), "step", "numTokens", "skippedInARow", ...state];
  if (resumed === undefined) return Object.fromEntries(keys.map((key) => [key, 0]));
  const numbers = Object.fromEntries(Object.entries(resumed).filter(([, value]) => typeof value === "number"));
  const schema = z.strictObject(Object.fromEntries(keys.map((key) => [key, z.int().min(0)])));
  const parsed = schema.safeParse(numbers);
  if (parsed.success) return parsed.data;
  throw new CheckpointError(
    `Expected a trainer state of ${keys.join(", ")}; the checkpoint has ${Object.keys(resumed).join(", ")}. It was ` +
      "written by another trainer or version; start the stage anew.",
  );
}
