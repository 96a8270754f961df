/** What a stage of a run hands over to its directory: rows for the logs, and states for checkpoints. */

import type { EvaluationRecord, MetricsRecord, RolloutRecord, TimingRecord } from "./records.ts";
import type { KeptElsewhere } from "./states-elsewhere.ts";

/** Which of the two files of completion samples: of all of them, or of those that solve their problem. */
export type SampleFile = "all" | "solved";

/** Where one stage of the run writes its lines; every call is on its way to the disk when it returns. */
export interface StageWriter {
  metrics(row: Omit<MetricsRecord, "stage" | "step"> & { readonly step: number }): void;
  rollouts(rows: readonly Omit<RolloutRecord, "stage">[]): void;
  /** Completions as plain text, each with those that are solved. */
  samples(texts: Readonly<Record<SampleFile, readonly string[]>>): void;
  evaluation(record: Omit<EvaluationRecord, "stage">): void;
  timing(row: Omit<TimingRecord, "stage" | "step"> & { readonly step: number }): void;
  event(name: string, details: Readonly<Record<string, unknown>>): void;
}

/** The arguments of `saveCheckpoint` beside the state itself. */
export interface CheckpointRequest {
  readonly stage: string;
  readonly step: number;
  readonly trainerState: Readonly<Record<string, number | string>>;
  readonly stageComplete: boolean;
  /** Keep this many checkpoints beside those that end a stage and the best one; the oldest go. */
  readonly keep: number;
  /** Name of the best checkpoint so far, which stays however old it is. */
  readonly best?: string | undefined;
  /** Where the engine keeps the content of states elsewhere. */
  readonly elsewhere?: KeptElsewhere | undefined;
}
