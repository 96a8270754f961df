/**
 * Where a run is kept while it goes, as the program of `recipe/run-recipe.ts` sees it: logs are appended, states saved whole,
 * and a resumed run begins at the newest state. On a disk it is `RunDirectory`; `MemoryRun` keeps it in memory.
 *
 * A place is what the engine and `Computing.folderAt` know a folder by: on a disk, its path.
 */

import type { EvaluationRecord, EventRecord, MetricsRecord, TimingRecord } from "./records.ts";
import type { CheckpointRequest, StageWriter } from "./stage-writer.ts";

/** Names of the files and folders of a run. */
export const RUN_FILES = {
  recipe: "recipe.yaml",
  trl: "trl.yaml",
  inputs: "inputs.json",
  events: "events.jsonl",
  checkpoints: "checkpoints",
  initialModel: "initial-model",
  model: "model",
  summary: "summary.json",
  report: "report.html",
  trackers: "trackers",
  tensorboard: "tensorboard",
  swanlab: "swanlog",
} as const;

/** Name of a checkpoint, e.g. `r1-zero-000040`. */
export function checkpointName(stage: string, step: number): string {
  return `${stage}-${String(step).padStart(6, "0")}`;
}

/** How rollouts are kept. */
export interface RolloutFiles {
  readonly format: "jsonl" | "parquet";
  /** A file ends before the row that would make it larger (as JSON Lines). */
  readonly maxFileBytes: number;
  /** Full files that are kept; undefined: all. */
  readonly keepFiles?: number | undefined;
}

/** A state that a run can go on from. */
export interface SavedState {
  /** Its place. */
  readonly directory: string;
  readonly name: string;
  readonly manifest: {
    readonly stage: string;
    /** Optimizer steps of the stage that are in this state. */
    readonly step: number;
    /** Whether these are all of the stage's steps. */
    readonly stageComplete: boolean;
    /** What the stage's trainer needs back, beside the state of the engine. */
    readonly trainerState: Readonly<Record<string, number | string>>;
  };
}

/** What a run has logged so far; rollouts are not among it, for they can be many. */
export interface RunLogs {
  readonly metrics: readonly MetricsRecord[];
  readonly evaluations: readonly EvaluationRecord[];
  readonly timings: readonly TimingRecord[];
  readonly events: readonly EventRecord[];
}

/** A run that is open. */
export interface RunStore {
  /** Where it is, for messages and trackers. */
  readonly path: string;
  /** It begins here and now, and is not resumed. */
  readonly isNew: boolean;
  /** The state to go on from; undefined in a fresh run, and where none was made before the interruption. */
  readonly resumedFrom: SavedState | undefined;
  /** SHA-256 of the resolved recipe. */
  readonly recipeHash: string;
  /** Seconds of work on this run up to the state it was resumed from, and since it was opened. */
  readonly seconds: number;
  /** How rollouts are kept, before the first one is written. */
  keepRolloutsAs(files: RolloutFiles): void;
  /** The writer of one stage's lines. */
  stage(stage: string): StageWriter;
  /** Appends to the diary. */
  event(name: string, details?: Readonly<Record<string, unknown>>): void;
  /** Everything that was logged. */
  readLogs(): RunLogs;
  /** Saves a state, whole: `write` puts it into the place that it is given. */
  saveCheckpoint(request: CheckpointRequest, write: (place: string) => Promise<void>): Promise<SavedState>;
  /** The state of that name, or what is wrong with it. */
  soundCheckpoint(name: string): Promise<SavedState | { readonly damage: string }>;
  /** Writes a folder of the run, e.g. `model`, in one piece; returns its place. */
  writeFolder(name: string, write: (place: string) => Promise<void>): Promise<string>;
  /** Marks the run as complete. */
  finish(summary: object): Promise<void>;
  /** Gives back what is held. */
  close(): void;
}
