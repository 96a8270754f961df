/**
 * The trackers of a run while it is running. A tracker that throws is not called again; the run continues, with a
 * warning.
 */

import type { RolloutRecord } from "../run/records.ts";
import type { RunStore } from "../run/run-store.ts";
import type { ResumedRun, RunEnd, TrackedRow, Tracker } from "../tracking/tracker.ts";
import { trackers } from "../tracking/trackers.ts";
import type { RunEvent } from "./observer.ts";
import type { Recipe } from "./schema.ts";

export class RunTrackers {
  private readonly open = new Map<string, Tracker>();
  /** What went wrong before anybody listened. */
  private readonly early: string[] = [];
  private listener: ((message: string) => void) | undefined;

  /** Opens what the recipe names. Throws what a tracker that cannot be used throws. */
  static async open(recipe: Recipe, run: RunStore): Promise<RunTrackers> {
    const all = new RunTrackers();
    const about = {
      name: recipe.name,
      directory: run.path,
      recipe,
      stages: recipe.stages.map(({ name }) => name),
      resumed: resumedRun(run),
      warn: (message: string) => all.warn(message),
    };
    try {
      for (const { name, ...options } of recipe.track ?? []) {
        all.open.set(name, await trackers.get(name).open(about, options));
      }
    } catch (error) {
      await all.finish({
        state: "interrupted",
        reason: "Another tracker could not be used, so the run did not begin.",
      });
      throw error;
    }
    return all;
  }

  /** Is told of trackers that failed, also before it listened. */
  set onWarning(listener: (message: string) => void) {
    this.listener = listener;
    for (const message of this.early.splice(0)) listener(message);
  }

  /** Tells the trackers what concerns them of what a run tells its observer. */
  observe(event: RunEvent): void {
    switch (event.type) {
      case "metrics":
        this.tell((tracker) => tracker.metrics?.(trackedRow(event)));
        return;
      case "timing":
        this.tell((tracker) => tracker.timing?.(trackedRow(event)));
        return;
      case "evaluated":
        this.tell((tracker) => tracker.evaluation?.(event.record));
        return;
      case "alarm": {
        const { type: _, ...alarm } = event;
        this.tell((tracker) => tracker.alarm?.(alarm));
        return;
      }
      default:
    }
  }

  rollouts(rows: readonly RolloutRecord[]): void {
    this.tell((tracker) => tracker.rollouts?.(rows));
  }

  /** Informs every tracker how the run ended, and waits for it. After that no tracker is called. */
  async finish(end: RunEnd): Promise<void> {
    // One that is slow holds up no other.
    const finished = [...this.open].map(async ([name, tracker]) => {
      try {
        await tracker.finish?.(end);
      } catch (error) {
        this.giveUp(name, error);
      }
    });
    await Promise.all(finished);
    this.open.clear();
  }

  private tell(what: (tracker: Tracker) => void): void {
    for (const [name, tracker] of this.open) {
      try {
        // A tracker may have asynchronous methods, although the run does not wait for them.
        const told = what(tracker) as unknown;
        if (told instanceof Promise) told.catch((error: unknown) => this.giveUp(name, error));
      } catch (error) {
        this.giveUp(name, error);
      }
    }
  }

  private giveUp(name: string, error: unknown): void {
    if (!this.open.delete(name)) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.warn(`The tracker ${name} failed (${reason}): it is not called any more. The run continues.`);
  }

  private warn(message: string): void {
    if (this.listener === undefined) this.early.push(message);
    else this.listener(message);
  }
}

function trackedRow({ stage, row }: Extract<RunEvent, { type: "metrics" | "timing" }>): TrackedRow {
  const { step, ...values } = row;
  return { stage, step, values };
}

function resumedRun({ isNew, resumedFrom }: RunStore): ResumedRun | undefined {
  if (isNew) return undefined;
  return { stage: resumedFrom?.manifest.stage, step: resumedFrom?.manifest.step ?? 0 };
}
