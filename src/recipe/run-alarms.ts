/**
 * The alarms of a running run: they are computed from its logs, reported to the observer and written into the diary.
 *
 * The diary is never cut back, so it also has the alarms of steps that a resumed run repeats; these are not reported
 * again. If a crash lost the line of an alarm, the alarm is reported on resumption.
 */

import { type Alarm, alarmSchema } from "../alarms/alarm.ts";
import { AlarmMonitor, alarmKey, replay, type WatchedStage } from "../alarms/monitor.ts";
import type { EvaluationRecord } from "../run/records.ts";
import type { RunStore } from "../run/run-store.ts";
import type { MetricsRow } from "../train/context.ts";
import { trainers } from "../train/trainers.ts";
import type { RunObserver } from "./observer.ts";
import type { Recipe, StageConfig } from "./schema.ts";

export class RunAlarms {
  private readonly monitor: AlarmMonitor;
  private readonly run: RunStore;
  private readonly observe: RunObserver;
  private readonly told: Set<string>;

  constructor(recipe: Recipe, run: RunStore, observe: RunObserver) {
    this.monitor = new AlarmMonitor(recipe.stages.map(watched));
    this.run = run;
    this.observe = observe;
    this.told = new Set();
    if (run.isNew) return;
    const { events, metrics, evaluations } = run.readLogs();
    for (const record of events) {
      const parsed = record.event === "alarm" ? alarmSchema.safeParse(record) : undefined;
      if (parsed?.success) this.told.add(alarmKey(parsed.data));
    }
    this.tell(
      replay(this.monitor, {
        metrics: metrics.map(({ stage, ...row }) => ({ stage, row })),
        evaluations: evaluations.map(heard),
      }),
    );
  }

  row(stage: string, row: MetricsRow): void {
    this.tell(this.monitor.row(stage, row));
  }

  evaluation(record: EvaluationRecord): void {
    this.tell(this.monitor.evaluation(heard(record)));
  }

  private tell(alarms: readonly Alarm[]): void {
    for (const alarm of alarms) {
      const key = alarmKey(alarm);
      if (this.told.has(key)) continue;
      this.told.add(key);
      this.run.event("alarm", { ...alarm });
      this.observe({ type: "alarm", ...alarm });
    }
  }
}

function heard({ stage, step, decoding, statistics, completions }: EvaluationRecord) {
  return { stage, step, decoding, solveRate: statistics.solveRate, problems: completions.length };
}

function watched(stage: StageConfig): WatchedStage {
  return { name: stage.name, lossIsZero: trainers.get(stage.trainer).lossIsZero?.(stage) ?? false };
}
