/**
 * What the trackers that Aha brings have in common. Each is a place that points go to (files in a format of its own, a
 * server), and the run goes on whatever becomes of it:
 *
 * - Points wait in memory and are written behind the run's back, in order. Nothing waits for a place but the end of a run,
 *   and that not for long.
 * - The run directory is the queue on the disk: it holds all that a place should have. A place that refuses or does not
 *   answer is asked again later, and then it gets what it misses from the logs. The user is told once that it failed.
 * - The place itself says what it has got: the last step of each tag. So a killed run loses nothing and sends nothing twice:
 *   a resumed one first sends what is missing of the rows that stay, and leaves out those that are made again.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { runHistory } from "./history.ts";
import {
  alarmPoints,
  evaluationPoints,
  metricPoints,
  newPoints,
  type PointRules,
  type Points,
  rolloutPoints,
  tagsOf,
  timingPoints,
} from "./points.ts";
import type { RunEnd, TrackedRun, Tracker } from "./tracker.ts";

/** Where the points of one run go. What fails throws; it is tried again. */
export interface Place {
  /** The last step that it has of each tag. Asked before the first write, and again after each failure. */
  lastSteps(): Promise<ReadonlyMap<string, number>>;
  /** Writes points, in order. What it wrote before it threw, `lastSteps` knows. */
  write(points: readonly Points[]): Promise<void>;
  /** After the last write: how the run ended. */
  finish(end: RunEnd): Promise<void>;
  /** Gives back what it holds open, whatever happened. */
  close?(): Promise<void>;
}

/** How patiently a place is tried. */
export interface Patience {
  /** Between a failure and the next try; doubles up to `maxWaitMs`. */
  readonly firstWaitMs: number;
  readonly maxWaitMs: number;
  /** What the end of a run waits at most. */
  readonly finishMs: number;
}

const PATIENCE: Patience = { firstWaitMs: 2_000, maxWaitMs: 60_000, finishMs: 15_000 };
/** More are not held in memory: then the logs are read instead. */
const MAX_WAITING = 2_000;
/** Written at once. */
const BATCH = 200;

/** What a place is called, and what is shown there. */
export interface PlaceOptions {
  /** In messages: `mlflow`. */
  readonly name: string;
  /** Most completions shown of one iteration or evaluation. */
  readonly completions: number;
  /** The run directory holds rows that the place may not have: it is resumed, or over. */
  readonly isBehind: boolean;
  /** Between two writes, so that points of several steps go together; 0 if absent. */
  readonly pauseMs?: number;
  readonly patience?: Patience;
}

/** The tracker that brings the points of `run` to `place`. */
export function trackerOf(place: Place, run: TrackedRun, options: PlaceOptions): Tracker {
  return new PlaceTracker(place, run, options);
}

class PlaceTracker implements Tracker {
  private readonly place: Place;
  private readonly run: TrackedRun;
  private readonly name: string;
  private readonly rules: PointRules;
  private readonly patience: Patience;
  private readonly pauseMs: number;
  private waiting: Points[] = [];
  /** The logs have points that the place may miss and that do not wait in memory. */
  private isBehind: boolean;
  /** What the place has; undefined: it has to be asked. */
  private held: Map<string, number> | undefined;
  /** What it has for certain, for it answered. */
  private written = new Map<string, number>();
  private failures = 0;
  private wasSaid = false;
  /** What is under way: writing, or waiting to try again. */
  private work: Promise<void> | undefined;
  private isOver = false;
  /** Ends a wait between two tries. */
  private hurry = new AbortController();

  constructor(place: Place, run: TrackedRun, options: PlaceOptions) {
    const { name, completions, isBehind, pauseMs = 0, patience = PATIENCE } = options;
    this.pauseMs = pauseMs;
    this.place = place;
    this.run = run;
    this.name = name;
    this.rules = { stages: run.stages, completions };
    this.isBehind = isBehind;
    this.patience = patience;
    if (isBehind) this.begin();
  }

  metrics: NonNullable<Tracker["metrics"]> = (row) => this.add(metricPoints(row, this.rules, Date.now()));
  timing: NonNullable<Tracker["timing"]> = (row) => this.add(timingPoints(row, this.rules, Date.now()));
  evaluation: NonNullable<Tracker["evaluation"]> = (record) =>
    this.add(evaluationPoints(record, this.rules, Date.now()));
  alarm: NonNullable<Tracker["alarm"]> = (alarm) => this.add(alarmPoints(alarm, this.rules, Date.now()));
  rollouts: NonNullable<Tracker["rollouts"]> = (rows) => {
    const points = rolloutPoints(rows, this.rules, Date.now());
    if (points !== undefined) this.add(points);
  };

  async finish(end: RunEnd): Promise<void> {
    this.begin();
    this.hurry.abort();
    const finishMs = this.run.finishMs ?? this.patience.finishMs;
    const timer = new AbortController();
    const limit = sleep(finishMs, "late" as const, { signal: timer.signal }).catch(() => "late" as const);
    const done = await Promise.race([this.drain(end), limit]);
    timer.abort();
    this.isOver = true;
    if (done === "late") this.sayLate(`it was not done within ${finishMs / 1000} seconds`);
    await Promise.race([this.place.close?.(), sleep(1_000, undefined, { ref: false })]);
  }

  /** Writes what is left, and how the run ended. */
  private async drain(end: RunEnd): Promise<"done"> {
    await this.work;
    try {
      if (this.isBehind || this.waiting.length > 0) await this.writeAll();
      if (!this.isOver) await this.place.finish(end);
    } catch (error) {
      this.sayLate(reasonOf(error));
    }
    return "done";
  }

  private add(points: Points): void {
    if (this.isOver) return;
    this.waiting.push(points);
    if (this.waiting.length > MAX_WAITING) {
      // They are in the logs.
      this.waiting = [];
      this.isBehind = true;
    }
    this.begin();
  }

  /** Begins to write, where nothing is under way. */
  private begin(): void {
    this.work ??= this.tryOnce().finally(() => {
      this.work = undefined;
      const isMore = this.isBehind || this.waiting.length > 0;
      if (isMore && !this.isOver && !this.hurry.signal.aborted) this.begin();
    });
  }

  /** Writes all that there is; after a failure waits before the next try. */
  private async tryOnce(): Promise<void> {
    try {
      await this.writeAll();
      this.failures = 0;
    } catch (error) {
      this.held = undefined;
      this.say(error);
      const { firstWaitMs, maxWaitMs } = this.patience;
      const waitMs = Math.min(maxWaitMs, firstWaitMs * 2 ** this.failures++);
      await this.wait(waitMs);
    }
  }

  /** Ends early where the run ends; the process is not kept alive for it. */
  private async wait(waitMs: number): Promise<void> {
    if (waitMs > 0) await sleep(waitMs, undefined, { signal: this.hurry.signal, ref: false }).catch(() => {});
  }

  private async writeAll(): Promise<void> {
    // Whoever told of a point goes on first.
    await Promise.resolve();
    if (this.held === undefined) {
      const held = new Map(await this.place.lastSteps());
      // Somebody has emptied it: it gets everything again.
      const isLess = [...this.written].some(([tag, step]) => (held.get(tag) ?? Number.NEGATIVE_INFINITY) < step);
      if (isLess) this.isBehind = true;
      this.written = new Map(held);
      this.held = held;
    }
    while ((this.isBehind || this.waiting.length > 0) && !this.isOver) {
      if (this.isBehind) {
        this.isBehind = false;
        try {
          await this.catchUp();
        } catch (error) {
          this.isBehind = true;
          throw error;
        }
      } else {
        const batch = this.waiting.splice(0, BATCH);
        try {
          await this.writeNew(batch);
        } catch (error) {
          this.waiting.unshift(...batch);
          throw error;
        }
        await this.wait(this.pauseMs);
      }
    }
  }

  /** Writes what the logs hold and the place does not. */
  private async catchUp(): Promise<void> {
    let batch: Points[] = [];
    for await (const points of runHistory(this.run.directory, this.rules)) {
      batch.push(points);
      if (batch.length < BATCH) continue;
      await this.writeNew(batch);
      batch = [];
    }
    await this.writeNew(batch);
  }

  private async writeNew(points: readonly Points[]): Promise<void> {
    const held = this.held!;
    const written = points.flatMap((some) => {
      const left = newPoints(some, held);
      if (left === undefined) return [];
      for (const tag of tagsOf(left)) held.set(tag, left.step);
      return [left];
    });
    if (written.length === 0) return;
    await this.place.write(written);
    for (const some of written) for (const tag of tagsOf(some)) this.written.set(tag, some.step);
  }

  private say(error: unknown): void {
    if (this.wasSaid) return;
    this.wasSaid = true;
    this.run.warn(
      `The tracker ${this.name} failed: ${reasonOf(error)}. The run goes on; what the tracker misses is in the run ` +
        "directory and is sent when it can be.",
    );
  }

  private sayLate(reason: string): void {
    this.run.warn(
      `The tracker ${this.name} has not got all of the run (${reason}). Nothing is lost: ` +
        `aha track ${this.run.directory} --to ${this.name} sends the rest.`,
    );
  }
}

/** The message of an error without a full stop at its end. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\.$/, "");
}
