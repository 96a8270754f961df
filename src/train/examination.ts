/**
 * What the doctor asks a trainer about a stage before it is run. Every answer is optional: what a trainer does not
 * answer is not checked, and is shown as unknown. Findings are without the stage's name, which the doctor adds.
 */

import type { StageFinding } from "../findings.ts";
import type { Task } from "../tasks/task.ts";
import type { StageParts, TrainedKind } from "./context.ts";

/** A stage in numbers; null is what could not be known. */
export interface StageNumbers {
  readonly iterations: number | null;
  /** null where the data decide: a stage in epochs of data that were not read. */
  readonly optimizerSteps: number | null;
  readonly stepsPerIteration: number | null;
  readonly promptsPerIteration: number | null;
  readonly completionsPerIteration: number | null;
  readonly promptsPerStep: number | null;
  readonly completionsPerStep: number | null;
  /** Prompts and completions together. */
  readonly tokensPerStep: number | null;
  readonly epochs: number | null;
  readonly meanPromptTokens: number | null;
  readonly maxPromptTokens: number | null;
  readonly maxCompletionTokens: number | null;
  /** From here on measured on sampled completions, at the policy that the recipe starts from. */
  readonly sampledCompletions: number | null;
  readonly meanCompletionTokens: number | null;
  readonly truncatedShare: number | null;
  readonly zeroVarianceShare: number | null;
  readonly solveRate: number | null;
  /** Mean score by reward; null where it abstained from all. */
  readonly rewardMeans: Readonly<Record<string, number | null>> | null;
  readonly samplingTokensPerSecond: number | null;
  readonly trainingTokensPerSecond: number | null;
  readonly estimatedSeconds: number | null;
  /** The same with every completion as long as the limit lets it. */
  readonly longestSeconds: number | null;
}

/** What a trial of a stage measured. A trainer's own trial knows more, for its own findings and figures. */
export interface StageTrial {
  /** Prompt and completion tokens of one pass of training. */
  readonly trainingTokensPerSecond: number;
  /** Mean length of the completions that the stage teaches to write, so that a stage after it begins with those. */
  readonly taughtTokens?: number;
  /** Where the stage samples. */
  readonly sampling?: { readonly meanCompletionTokens: number; readonly tokensPerSecond: number };
  /**
   * What was sampled and trained on at once at the recipe's longest lengths, where that was tried: the memory that the
   * process took is then what the stage takes at its most.
   */
  readonly longest?: { readonly sequences: number; readonly length: number };
}

/** What a trial is given beside the stage's own parts. */
export interface TrialParts<Kind extends TrainedKind> extends StageParts<Kind> {
  /** Completions to sample, made up to whole groups. */
  readonly samples: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (text: string) => void;
}

/** What is known of a recipe around a stage. */
export interface AroundStage {
  readonly evaluateEvery: number;
  /** maxCompletionTokens of held-out evaluations. */
  readonly evaluationTokens: number;
  /** Names of the task, or of those that a mixture is made of. */
  readonly taskNames: readonly string[];
  /** Of the model. */
  readonly contextTokens: number | null;
}

/** What the size of a task's data means for a stage. */
export interface StageOverData {
  /** Passes over the data; undefined where they are endless, or it cannot be known. */
  readonly epochs?: number | undefined;
  /** Optimizer steps, where the data decide and it can be known. */
  readonly steps?: number | undefined;
  readonly findings?: readonly StageFinding[];
}

/** What is computed at the moment that takes most memory. */
export interface MemoryNeed {
  /** Tokens that are trained on at once, cut into micro-batches, and the longest sequence among them. */
  readonly trained: { readonly tokens: number; readonly longest: number };
  /** Sequences that are sampled at once, and their length. */
  readonly sampled?: { readonly sequences: number; readonly length: number };
  /** It keeps a second copy of the policy's weights. */
  readonly hasReference?: boolean;
  /** It keeps another one, that is sampled from while the policy is trained. */
  readonly hasSnapshot?: boolean;
}

/** What is known of a stage when its figures are asked for. */
export interface StageKnown<Trial extends StageTrial = StageTrial> {
  readonly meanPromptTokens: number | undefined;
  /** The steps of `overData`. */
  readonly steps: number | undefined;
  /** `taughtTokens` of the last stage before this one that teaches: not the length of what the policy writes now. */
  readonly taughtTokens: number | undefined;
  readonly trial: Trial | undefined;
}

/** The answers of a trainer; see the file's header. */
export interface Examination<Config, Kind extends TrainedKind, Trial extends StageTrial = StageTrial> {
  /** Its peak learning rate, and whose habits it is compared with. */
  learningRate?(config: Config): { readonly peak: number; readonly method: "supervised" | "reinforcement" };
  /** Settings that cancel each other, or do nothing. */
  findings?(config: Config, around: AroundStage): readonly StageFinding[];
  /** Units that the recipe plans; undefined where the data decide. */
  units?(config: Config): number | undefined;
  /** The longest completion that it samples. */
  maxCompletionTokens?(config: Config): number;
  /** The longest sequence of given data that it reads, and whether it cuts longer ones; undefined: as long as the model does. */
  longestRead?(config: Config): { readonly tokens: number; readonly isCut: boolean } | undefined;
  /** A task that it cannot learn from. */
  taskFindings?(config: Config, task: Task): readonly StageFinding[];
  /** `trainCount`: problems of the task; Infinity where it makes them without end. */
  overData?(config: Config, trainCount: number, trial: Trial | undefined): StageOverData;
  /** `promptTokens`: length of a usual prompt. */
  memory?(config: Config, known: { readonly promptTokens: number; readonly contextTokens: number }): MemoryNeed;
  /** A few units at learning rate 0. */
  trial?(parts: TrialParts<Kind>, config: Config): Promise<Trial>;
  /** Where there is no trial of such a stage: why. */
  readonly whyNoTrial?: string;
  /** `trainedBefore` names a stage before this one: what was sampled is then not what the stage will begin with. */
  trialFindings?(config: Config, trial: Trial, trainedBefore: string | undefined): readonly StageFinding[];
  /** The batch arithmetic of a stage, and the time that it will take. */
  figures?(config: Config, known: StageKnown<Trial>): Partial<StageNumbers>;
}
