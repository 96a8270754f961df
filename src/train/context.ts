/**
 * What a trainer is given: an engine, a tokenizer, a task, and a place to leave what happens.
 *
 * A trainer knows nothing of files. It hands rows to `log`, and its loop (`stage-loop.ts`) asks for checkpoints and is
 * given back, on resumption, the small state that it had handed over. The program that provides these hooks (the
 * recipe's runner, a notebook, a test) decides where rows and states are kept. All that a trainer needs to continue
 * beyond the engine's own state is a few integers: problems and random draws are functions of indices.
 */

import type { Computing } from "../compute/computing.ts";
import type { Policy } from "../engine/contract/policy.ts";
import type { RewardModel } from "../engine/contract/reward-model.ts";
import type { SampledSoFar } from "../engine/contract/sampler.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import type { Folder } from "../folder.ts";
import type { RewardDeps } from "../rewards/entry.ts";
import type { RewardResult } from "../rewards/reward.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** One line of the metrics log: the optimizer step that it describes, and numbers by name. It holds nothing that depends
 * on the clock, so that the same seed gives the same rows. */
export type MetricsRow = { readonly step: number } & Readonly<Record<string, number>>;

/** What an update saw of each token of a completion. A part is absent where nothing computed it. */
export interface UpdatedTokens {
  /** Where tokens of one completion have different ones; else each has the completion's. */
  readonly tokenAdvantages?: ArrayLike<number>;
  /** r = π / π_old as the loss read it, at the newest update that did: before the first optimizer step 1 but for rounding, unless
   * older weights sampled (GRPO's maxStaleness). */
  readonly ratios?: ArrayLike<number>;
  /** Of the policy at that update, in nats: −Σ p log p over the vocabulary. */
  readonly entropies?: ArrayLike<number>;
}

/** One sampled completion with everything that was decided about it. */
export interface RolloutRow extends UpdatedTokens {
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
  /** Seconds spent, by name, on the work of optimizer step `step`. */
  timing(row: MetricsRow): void;
  /** Something that a person reading the run should know, e.g. a step that was skipped. */
  event(name: string, details: Readonly<Record<string, unknown>>): void;
}

/** How far a stage has come, for a progress line. */
export interface TrainProgress {
  /** The current phase of the unit that is running; `done` when a unit has just ended, with its metrics. */
  readonly phase: "sampling" | "judging" | "updating" | "done";
  /** Units done and planned: iterations where the policy samples, else optimizer steps. */
  readonly done: number;
  readonly total: number;
  /** The last row of metrics, where there is one. */
  readonly metrics?: MetricsRow;
  /** While sampling. */
  readonly sampled?: SampledSoFar;
}

/** A trainer's own part of a checkpoint: JSON-serialisable, checked by the trainer when it comes back. */
export type TrainerState = Readonly<Record<string, number | string>>;

/**
 * Writes what is too much for a `TrainerState` into the checkpoint's folder, beside the files of the engine's state, under names
 * that begin with `trainer-`.
 */
export type WriteTrainerFiles = (folder: Folder) => Promise<void>;

/** The kinds of models that trainers train, each with the engine that a trainer of it is given. */
export interface TrainedModels {
  readonly policy: Policy;
  readonly rewardModel: RewardModel;
}

/** What a trainer trains: a policy, which writes, or a reward model, which scores. */
export type TrainedKind = keyof TrainedModels;

/** What a stage works with. */
export interface StageParts<Kind extends TrainedKind = TrainedKind> {
  readonly engine: TrainedModels[Kind];
  readonly tokenizer: Tokenizer;
  readonly task: Task;
  /** Held-out problems, never trained on; none by default. */
  readonly heldOut?: readonly Problem[];
  /** Root of every random draw of the stage. */
  readonly seed: number;
  /** The stage's name, for messages. */
  readonly stage?: string;
  /** How models beside the trained one (a teacher, a reward model) are computed; without it there are none. */
  readonly supportingCompute?: SupportingCompute;
}

/** What lies beyond the core: on Node it is `on-node.ts`. Rewards and teachers that need what is absent are refused. */
export interface Reach extends Pick<RewardDeps, "endpoints" | "openUserReward"> {
  /** The directory of a model that is named otherwise: a GGUF file is imported first. */
  readonly modelDirectory?: (path: string) => Promise<string>;
}

/** How models beside the trained one are computed: in this process, by this engine, or elsewhere within reach. */
export interface SupportingCompute extends Reach {
  readonly compute: Computing;
  readonly engine: EngineSpec;
}

/** The surroundings of one stage. */
export interface StageContext<Kind extends TrainedKind = TrainedKind> extends StageParts<Kind> {
  /** Aborted when the user wants to stop: the stage checkpoints between steps and throws `RunInterrupted`. */
  readonly signal: AbortSignal;
  readonly log: StageLog;
  readonly onProgress?: (progress: TrainProgress) => void;
  /**
   * Saves engine and trainer state. Called on interruption and after every `every` units (0: never) but the last, which
   * ends the stage: the caller saves the state at the end of a stage.
   */
  readonly checkpoint?: {
    readonly every: number;
    readonly save: (step: number, state: TrainerState, files?: WriteTrainerFiles) => Promise<void>;
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
  /** That checkpoint's folder, where a trainer finds the files that it wrote. */
  readonly resumedFiles?: Folder;
}

/** The surroundings of a stage that trains a policy. */
export type TrainContext = StageContext<"policy">;

/** What a finished stage reports. */
export interface TrainOutcome {
  /** Optimizer steps of the whole stage, those before a resumption included. */
  readonly steps: number;
  /** Tokens seen by the optimizer or the sampler, prompts included. */
  readonly numTokens: number;
}
