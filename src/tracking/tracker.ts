/**
 * Trackers: programs outside this one that show runs (an experiment tracker, a chart, a chat). A recipe names them under
 * `track`; each is told what the run directory gets, as it gets it. Nothing that a tracker does changes what is trained: it
 * gives nothing back, and one that fails is left out with a warning. The trackers that Aha brings are places (`place.ts`):
 * they fail for a while and catch up later.
 *
 * Rows come in the order of the run. A run that was interrupted and is resumed begins again behind a checkpoint: what was
 * told before of later steps is void, and those steps are told again, with the same numbers.
 */

import type { z } from "zod";
import type { Alarm } from "../alarms/alarm.ts";
import type { EvaluationRecord, RolloutRecord } from "../run/records.ts";
import type { RunSummary } from "../run/summary.ts";

/** What a tracker is told of a run before its first row. */
export interface TrackedRun {
  /** The recipe's name. */
  readonly name: string;
  /** The run directory. It names the run: a resumed one has the same. */
  readonly directory: string;
  /** The whole recipe, every default filled in. It holds no secrets. */
  readonly recipe: Readonly<Record<string, unknown>>;
  /** The run's stages, in order: steps are counted in each from 1. */
  readonly stages: readonly string[];
  /** Of a resumed run, what stays of what was told before; undefined for a new run. */
  readonly resumed: ResumedRun | undefined;
  /** Tells the user, in a sentence, of what went wrong with the tracker while the run goes on. */
  readonly warn: (message: string) => void;
  /** How long whoever tells waits at the end for a tracker that is slow; the tracker's own idea of it if absent. */
  readonly finishMs?: number;
}

/** Where a resumed run goes on. */
export interface ResumedRun {
  /** Stage of the checkpoint; undefined where there was none, and nothing stays. */
  readonly stage: string | undefined;
  /** Rows of that stage up to this step stay, with those of the stages before it. Evaluations at this step may be told
   * again. */
  readonly step: number;
}

/** How a run ended. */
export type RunEnd =
  | { readonly state: "finished"; readonly summary: RunSummary }
  /** It can be resumed. */
  | { readonly state: "interrupted"; readonly reason: string }
  | { readonly state: "failed"; readonly reason: string };

/** Numbers by name, about the optimizer step that ended a unit of a stage: an optimizer step, or an iteration. */
export interface TrackedRow {
  readonly stage: string;
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
}

/** What a tracker is told while a run goes; each of these may be left out. */
export interface Tracker {
  metrics?(row: TrackedRow): void;
  /** Seconds, by what they were spent on. */
  timing?(row: TrackedRow): void;
  /** A held-out evaluation, with the answers. */
  evaluation?(record: EvaluationRecord): void;
  rollouts?(rows: readonly RolloutRecord[]): void;
  alarm?(alarm: Alarm): void;
  /** Told once, however the run ends; the run waits for it. */
  finish?(end: RunEnd): void | Promise<void>;
}

/** A tracker as the registry lists it. `Options` is what its schema makes of its keys. */
export interface TrackerKind<Options = Readonly<Record<string, unknown>>> {
  /** What a recipe calls it. */
  readonly name: string;
  /** A few words about it. */
  readonly summary?: string;
  /** Its keys beside `name`, each with a description; those that have no default are required. */
  shape(): z.ZodRawShape;
  /** Throws AhaError where it cannot be used (a key that is missing, a server that is not there): the run does not begin. */
  open(run: TrackedRun, options: Options): Tracker | Promise<Tracker>;
}

/** The tracker as everybody else sees it; inside `kind` its options have the type that `shape` gives. */
export function defineTracker<Shape extends z.ZodRawShape>(
  kind: TrackerKind<z.infer<z.ZodObject<Shape>>> & { shape(): Shape },
): TrackerKind {
  return kind;
}
