/**
 * What a trainer is given: an engine, a tokenizer, a task, and a place to leave what happens.
 *
 * A trainer knows nothing of files. It hands rows to `log`, asks for a checkpoint by `checkpoint.save`, and is given
 * back, on resumption, the small state that it had handed over; who stands behind these hooks (`run/` and
 * `recipe/pipeline.ts`, a notebook, a test) decides where they go. All that a trainer needs to continue beyond the
 * engine's own state is a few integers: problems and random draws are functions of indices.
 */

import { z } from "zod";
import type { Policy } from "../engine/contract/policy.ts";
import { CheckpointError, ConfigError, DivergenceError, RunInterrupted } from "../errors.ts";
import type { LossSpec } from "../losses/loss-spec.ts";
import type { RewardResult } from "../rewards/reward.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** One line of the metrics log: the optimizer step that it describes, and numbers by name. It holds nothing that depends
 * on the clock, so that the same seed gives the same rows. */
export type MetricsRow = { readonly step: number } & Readonly<Record<string, number>>;

/** One sampled completion with everything that was decided about it. */
export interface RolloutRow {
  readonly iteration: number;
  /** Index of the problem in the task's endless stream. */
  readonly promptId: number;
  /** 0 … groupSize − 1 */
  readonly sample: number;
  readonly prompt: string;
  readonly completion: string;
  /** Score and reason by reward name; a null score is an abstention. */
  readonly rewards: Readonly<Record<string, RewardResult>>;
  /** The weighted sum; null where every reward abstained. */
  readonly reward: number | null;
  readonly advantage: number;
  /** By the task's own judgement. */
  readonly solved: boolean;
  readonly finishReason: "stop" | "length";
  readonly promptTokens: number;
  readonly lengthTokens: number;
  /** Of the completion, its end included, with what the sampler gave each token. */
  readonly tokens: Int32Array;
  readonly samplerLogprobs: Float32Array;
}

/** Where a stage writes what happens. */
export interface StageLog {
  metrics(row: MetricsRow): void;
  rollouts(rows: readonly RolloutRow[]): void;
  /** Seconds spent, by name, on what led to optimizer step `step`. */
  timing(row: MetricsRow): void;
  /** Something that a person reading the run should know, e.g. a step that was skipped. */
  event(name: string, details: Readonly<Record<string, unknown>>): void;
}

/** How far a stage has come, for a progress line. */
export interface TrainProgress {
  /** What it is doing now. */
  readonly phase: "sampling" | "training";
  /** Units done and planned: iterations where the policy samples, else optimizer steps. */
  readonly done: number;
  readonly total: number;
  /** The last row of metrics, where there is one. */
  readonly metrics?: MetricsRow;
  /** While sampling: completions finished so far. */
  readonly sampled?: { readonly finished: number; readonly total: number; readonly tokens: number };
}

/** A trainer's own part of a checkpoint: JSON-serialisable, checked by the trainer when it comes back. */
export type TrainerState = Readonly<Record<string, number | string>>;

/** The key of what rewards remember, in the state of a trainer that has rewards with a memory. */
export const REWARD_STATES = "rewardStates";

/** The surroundings of one stage, whatever engine it trains. */
export interface StageContext {
  readonly tokenizer: Tokenizer;
  readonly task: Task;
  /** Held-out problems, never trained on; none by default. */
  readonly heldOut?: readonly Problem[];
  /** Root of every random draw of the stage. */
  readonly seed: number;
  /** Aborted when the user wants to stop: the trainer checkpoints between steps and throws `RunInterrupted`. */
  readonly signal: AbortSignal;
  readonly log: StageLog;
  readonly onProgress?: (progress: TrainProgress) => void;
  /**
   * Saves engine and trainer state. Called on interruption and after every `every` units (0: never) but the last, which
   * ends the stage: from there on its state is the caller's.
   */
  readonly checkpoint?: {
    readonly every: number;
    readonly save: (step: number, state: TrainerState) => Promise<void>;
  };
  /**
   * Held-out evaluation after every `every` units (0: never) but the last; it logs what it finds, and asks by true for a
   * checkpoint of what it has evaluated.
   */
  readonly evaluation?: {
    readonly every: number;
    readonly run: (step: number) => Promise<boolean | undefined>;
  };
  /** The trainer state of the checkpoint that the engine was loaded from; absent in a fresh stage. */
  readonly resumed?: TrainerState;
}

/** The surroundings of a stage that trains a policy. */
export interface TrainContext extends StageContext {
  readonly engine: Policy;
}

/** What a finished stage reports. */
export interface TrainOutcome {
  /** Optimizer steps of the whole stage, those before a resumption included. */
  readonly steps: number;
  /** Tokens seen by the optimizer or the sampler, prompts included. */
  readonly numTokens: number;
}

/**
 * The trainer state to start from, mutable: that of the checkpoint, or zeros.
 *
 * @throws CheckpointError where the checkpoint holds the state of another trainer.
 */
export function startState<Key extends string>(context: StageContext, keys: readonly Key[]): Record<Key, number> {
  const zeros = Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;
  if (!context.resumed) return zeros;
  const { [REWARD_STATES]: _, ...numbers } = context.resumed;
  const schema = z.strictObject(Object.fromEntries(keys.map((key) => [key, z.int().min(0)])));
  const parsed = schema.safeParse(numbers);
  if (parsed.success) return parsed.data as Record<Key, number>;
  throw new CheckpointError(
    `Expected a trainer state of ${keys.join(", ")}; the checkpoint has ${Object.keys(context.resumed).join(", ")}. ` +
      "It was written by another trainer or version; start the stage anew.",
  );
}

/** Refuses an engine that cannot train by this loss. Throws ConfigError. */
export function requireLoss({ info, capabilities: { losses } }: Policy, name: LossSpec["name"]): void {
  if (losses.includes(name)) return;
  throw new ConfigError(`The engine ${info.name} has no loss ${name}, only ${losses.join(", ")}; use another one.`);
}

/** Refuses an engine whose losses take no noise on embeddings, which `key` of the recipe asks for. Throws ConfigError. */
export function requireEmbeddingNoise({ info, capabilities }: Policy, key: string): void {
  if (capabilities.embeddingNoise) return;
  throw new ConfigError(
    `The engine ${info.name} adds no noise to embeddings: leave ${key} out, or use another engine.`,
  );
}

/** Runs the hooks that are due after `unit` (1-based) of `total`: the evaluation first, so that no resume repeats it. */
async function runDueHooks(
  context: StageContext,
  unit: number,
  total: number,
  step: number,
  state: TrainerState,
): Promise<void> {
  const { evaluation, checkpoint } = context;
  const isDue = (every: number) => every > 0 && unit % every === 0 && unit < total;
  const isWanted = evaluation && isDue(evaluation.every) ? await evaluation.run(step) : undefined;
  if (checkpoint && (isWanted || isDue(checkpoint.every))) await checkpoint.save(step, { ...state });
}

/** An iteration, or an optimizer step where a trainer has no iterations, that is over. */
export interface FinishedUnit {
  /** How many there have been, of how many. */
  readonly done: number;
  readonly total: number;
  /** Optimizer steps so far. */
  readonly step: number;
  readonly state: TrainerState;
  readonly row: MetricsRow;
  /** Seconds, by what they were spent on. */
  readonly timing: Readonly<Record<string, number>>;
}

/**
 * Logs what a unit came to, then evaluates and saves where that is due.
 *
 * @throws DivergenceError where too many steps in a row were skipped
 */
export async function finishUnit(context: StageContext, skipped: SkippedSteps, unit: FinishedUnit): Promise<void> {
  const { done, total, step, state, row, timing } = unit;
  context.log.metrics(row);
  context.log.timing({ step, ...timing });
  context.onProgress?.({ phase: "training", done, total, metrics: row });
  await skipped.stopIfLost(context, step, state);
  await runDueHooks(context, done, total, step, state);
}

/**
 * Saves a checkpoint and throws where the user asked to stop. To be called where the trainer's state and the engine's
 * are one: between steps.
 *
 * @throws RunInterrupted
 */
export async function stopIfAsked(context: StageContext, step: number, state: TrainerState): Promise<void> {
  if (!context.signal.aborted) return;
  await context.checkpoint?.save(step, { ...state });
  const saved = context.checkpoint
    ? "its state is saved; run the same command with --resume to go on"
    : "nothing was saved";
  throw new RunInterrupted(`Stopped at step ${step}: ${saved}.`);
}

/** What an engine said of one optimizer step. */
export interface StepResult {
  readonly loss: number;
  readonly gradNorm?: number | undefined;
  readonly applied: boolean;
}

/**
 * Follows optimizer steps that were not applied because the loss or the gradient was not finite: one is an accident, a row
 * of them is a policy that is lost.
 */
export class SkippedSteps {
  /** Skipped steps since the last one that was applied. */
  inARow: number;
  /** Skipped steps since `takeCount` was last called. */
  private count = 0;
  private readonly maxInARow: number;
  private readonly log: StageLog;
  private isLost = false;

  constructor(inARow: number, maxInARow: number, log: StageLog) {
    this.inARow = inARow;
    this.maxInARow = maxInARow;
    this.log = log;
  }

  /** Counts the step `step` (1-based), and tells the diary where it was skipped. */
  record({ loss, gradNorm, applied }: StepResult, step: number): void {
    if (applied) {
      this.inARow = 0;
      return;
    }
    this.inARow++;
    this.count++;
    this.isLost ||= this.inARow > this.maxInARow;
    const what = Number.isFinite(loss) ? `gradient was not finite (its norm was ${gradNorm})` : `loss was ${loss}`;
    this.log.event("step-skipped", { step, reason: `the ${what}`, inARow: this.inARow });
  }

  /** For the metrics: skipped steps since this was last asked. */
  takeCount(): number {
    const { count } = this;
    this.count = 0;
    return count;
  }

  /**
   * Stops a stage that is lost, after it has saved a checkpoint: skipped steps leave the weights as they were, so it is
   * sound, and whoever resumes it goes on behind these steps with the count at 0. To be called between steps, where
   * trainer's and engine's states are one.
   *
   * @throws DivergenceError after more than `maxSkippedSteps` in a row.
   */
  async stopIfLost(context: StageContext, step: number, state: TrainerState): Promise<void> {
    if (!this.isLost) return;
    await context.checkpoint?.save(step, { ...state, skippedInARow: 0 });
    const saved = context.checkpoint ? ", and a checkpoint is saved. --resume goes on behind them" : "";
    throw new DivergenceError(
      `The loss or its gradient was not finite in ${this.inARow} optimizer steps in a row (maxSkippedSteps is ` +
        `${this.maxInARow}), the last at step ${step}. They changed no weights${saved}. If it happens again, start a run ` +
        "with a lower learningRate or maxGradNorm.",
    );
  }
}
