/**
 * What a trainer is: one object with everything that other code has to know about it. A recipe's schema, the paths that
 * are made absolute, hashed and pinned, the program that runs stages, the doctor, the terminal and the report all ask
 * it; none of them knows a trainer by its name. A new one is a folder with such an object, and a line in `trainers.ts`,
 * or a call of `extend` from outside.
 *
 * Inside its folder a trainer's configuration has the type that its schema gives (`defineTrainer` infers it); outside it is
 * opaque, and only handed back to the trainer.
 */

import type { z } from "zod";
import type { EngineSpec } from "../engine/engine-kind.ts";
import type { NamedPath } from "../named-paths.ts";
import type { ConfigIssue } from "./config-issue.ts";
import type { StageContext, StageParts, TrainedKind, TrainOutcome } from "./context.ts";
import type { Examination } from "./examination.ts";
import type { Starter } from "./starter.ts";

/** A stage's keys, checked by its trainer's schema. Only the trainer's own folder knows what they are. */
export type TrainerConfig = Readonly<Record<string, unknown>>;

/** What of a recipe decides whether a trainer can be in it. */
export interface RecipeOfStage {
  readonly model: { readonly lora?: unknown; readonly adapter?: unknown };
  readonly task: { readonly name: string };
}

/** A model that a stage needs beside the one that it trains. */
export interface SupportingModel {
  /** Names it in findings, e.g. `teacher`. */
  readonly id: string;
  /** Its directory on this machine. */
  readonly path: string;
  /** A language model, or one that scores. */
  readonly kind: "model" | "rewardModel";
  /** The key of the recipe that names it. */
  readonly key: string;
  /** What to do where it is not there, e.g. `train the teacher first`. */
  readonly remedy: string;
  /** What computes it, where that is elsewhere: the directory has no weights then, and it takes no memory here. */
  readonly engine?: EngineSpec;
}

/** What people read of a trainer. */
export interface TrainerWords<Config> {
  /** On a run's page, after the stage's name. */
  readonly title: string;
  /** What a stage does, for the terminal, explained to a reader who is new to it. */
  explain(config: Config): string;
}

/** A chart on a run's page, of metrics by name, each with its label; left out where a stage has none of them. */
export interface Curve {
  readonly title: string;
  readonly caption: string;
  readonly metrics: Readonly<Record<string, string>>;
  readonly yMin?: number;
  readonly yMax?: number;
  /** Shares are shown in per cent. */
  readonly isShare?: boolean;
  /** The statistic of held-out evaluations that belongs into it. */
  readonly heldOut?: string;
}

/** A trainer. `Config` is what its schema makes of a stage's keys, `Kind` what it trains. */
export interface Trainer<Config = TrainerConfig, Kind extends TrainedKind = TrainedKind> {
  /** As recipes write it. */
  readonly name: string;
  readonly trains: Kind;
  /** What is counted: a unit of `StageLoop`. `evaluateEvery` and `checkpointEvery` count it too. */
  readonly unit: "step" | "iteration";
  /**
   * Its keys, each with a description. Every stage has `name`, `trainer`, `evaluateEvery` and `checkpointEvery` beside. It
   * is asked again when a registry has grown.
   */
  shape(): z.ZodRawShape;
  /** Combinations of its keys that cannot be. */
  issues?(config: Config): readonly ConfigIssue[];
  /** What the rest of the recipe forbids; `at` leads to the stage, and paths of issues begin at the recipe. */
  recipeIssues?(config: Config, recipe: RecipeOfStage, at: readonly PropertyKey[]): readonly ConfigIssue[];
  /** The paths among its keys. It is asked of configurations that are not checked yet, too. */
  paths?(config: unknown): readonly NamedPath[];
  /** The models that it needs beside the trained one. */
  supportingModels?(config: Config): readonly SupportingModel[];
  /** Refuses, before anything is trained, what it cannot train. Throws AhaError. */
  check(parts: StageParts<Kind>, config: Config): void | Promise<void>;
  /** Trains one stage. Throws AhaError; RunInterrupted where `context.signal` aborts. */
  train(context: StageContext<Kind>, config: Config): Promise<TrainOutcome>;
  /**
   * It learns from texts that the model itself writes. A run's summary compares the model before and after the first
   * such stage.
   */
  readonly isOnPolicy?: boolean;
  /** The loss says nothing about what is learned, as that of a policy gradient: its curve is not shown. */
  readonly lossIsNoMeasure?: boolean;
  /** The loss is 0 by construction with these keys, which an alarm explains once. */
  lossIsZero?(config: Config): boolean;
  readonly words: TrainerWords<Config>;
  /** Charts on the run's page of what it alone measures. */
  readonly curves?: readonly Curve[];
  /** What `aha init` offers and writes; nothing where it is left out. */
  readonly starter?: Starter;
  /** What the doctor asks before a run. */
  readonly examination?: Examination<Config, Kind>;
}

/** The trainer as other code sees it; inside `trainer` its configuration has the type that `shape` gives. */
export function defineTrainer<Shape extends z.ZodRawShape, Kind extends TrainedKind>(
  trainer: Trainer<z.infer<z.ZodObject<Shape>>, Kind> & { shape(): Shape },
): Trainer {
  return trainer;
}
