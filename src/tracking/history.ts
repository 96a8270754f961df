/**
 * The points of a run as its directory has them, for a tracker that was not told, or not of all: one that was down, that was
 * behind when the run was killed, or that is given a run that is over.
 *
 * Logs have no wall-clock times, for equal runs leave equal logs. When a row was written is worked out from the diary, which
 * says when each stage began in each session, and from the seconds of the steps since.
 */

import { alarmSchema } from "../alarms/alarm.ts";
import type { EventRecord, RolloutRecord, TimingRecord } from "../run/records.ts";
import { eachRollout } from "../run/rollout-log.ts";
import { type RunSnapshot, readRun } from "../run/run-reader.ts";
import {
  alarmPoints,
  evaluationPoints,
  metricPoints,
  type PointRules,
  type Points,
  rolloutPoints,
  timingPoints,
} from "./points.ts";
import type { TrackedRow } from "./tracker.ts";

/** Everything that the logs of the run in `directory` hold now; steps of one tag in order. Throws RunDirError. */
export async function* runHistory(directory: string, rules: PointRules): AsyncGenerator<Points, void, void> {
  const run = readRun(directory);
  const clock = new RunClock(run);
  for (const row of run.metrics) yield metricPoints(trackedRow(row), rules, clock.of(row.stage, row.step));
  for (const row of run.timings) yield timingPoints(trackedRow(row), rules, clock.of(row.stage, row.step));
  for (const record of run.evaluations) yield evaluationPoints(record, rules, clock.of(record.stage, record.step));
  for (const event of run.events) {
    const alarm = event.event === "alarm" ? alarmSchema.safeParse(event) : undefined;
    if (alarm?.success) yield alarmPoints(alarm.data, rules, Date.parse(event.at));
  }
  if (rules.completions === 0) return;
  const stepOf = new Map(run.metrics.map(({ stage, iteration, step }) => [`${stage} ${iteration}`, step]));
  for await (const rows of iterations(directory)) {
    const { stage, iteration } = rows[0]!;
    const points = rolloutPoints(rows, rules, clock.of(stage, stepOf.get(`${stage} ${iteration}`) ?? iteration));
    if (points !== undefined) yield points;
  }
}

/** Rollouts, those of an iteration at a time. */
async function* iterations(directory: string): AsyncGenerator<readonly RolloutRecord[], void, void> {
  let rows: RolloutRecord[] = [];
  for await (const row of eachRollout(directory)) {
    const [first] = rows;
    if (first !== undefined && (first.stage !== row.stage || first.iteration !== row.iteration)) {
      yield rows;
      rows = [];
    }
    rows.push(row);
  }
  if (rows.length > 0) yield rows;
}

/** JSON has no NaN: the logs have null in its place. */
function trackedRow({ stage, step, ...values }: { readonly stage: string; readonly step: number }): TrackedRow {
  const numbers = Object.entries(values as Record<string, number | null>);
  return { stage, step, values: Object.fromEntries(numbers.map(([name, value]) => [name, value ?? Number.NaN])) };
}

/** When steps were done, in milliseconds since 1970. */
class RunClock {
  /** By stage: its sessions, each with its first step and when it began. */
  private readonly sessions = new Map<string, { readonly stepsDone: number; readonly at: number }[]>();
  /** By stage: seconds of all steps up to each, in order. */
  private readonly spent = new Map<string, { readonly step: number; readonly seconds: number }[]>();
  private readonly began: number;

  constructor({ events, timings }: Pick<RunSnapshot, "events" | "timings">) {
    this.began = timeOf(events[0]) ?? 0;
    for (const event of events) if (event.event === "stage-started") this.addSession(event);
    for (const row of timings) this.addTiming(row);
  }

  of(stage: string, step: number): number {
    const sessions = this.sessions.get(stage) ?? [];
    const session = sessions.findLast(({ stepsDone }) => stepsDone < step) ?? sessions[0];
    if (session === undefined) return this.began;
    const spent = this.spentUpTo(stage, step) - this.spentUpTo(stage, session.stepsDone);
    return Math.round(session.at + Math.max(0, spent) * 1000);
  }

  /** Seconds of the stage's steps up to this one. */
  private spentUpTo(stage: string, step: number): number {
    const rows = this.spent.get(stage) ?? [];
    let [from, to] = [0, rows.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (rows[middle]!.step <= step) from = middle + 1;
      else to = middle;
    }
    return rows[from - 1]?.seconds ?? 0;
  }

  private addSession(event: EventRecord): void {
    const at = timeOf(event);
    if (typeof event.stage !== "string" || at === undefined) return;
    const sessions = this.sessions.get(event.stage) ?? [];
    sessions.push({ stepsDone: typeof event.stepsDone === "number" ? event.stepsDone : 0, at });
    this.sessions.set(event.stage, sessions);
  }

  private addTiming({ stage, step, step_time: seconds }: TimingRecord): void {
    const rows = this.spent.get(stage) ?? [];
    rows.push({ step, seconds: (rows.at(-1)?.seconds ?? 0) + (seconds ?? 0) });
    this.spent.set(stage, rows);
  }
}

function timeOf(event: EventRecord | undefined): number | undefined {
  const at = event === undefined ? Number.NaN : Date.parse(event.at);
  return Number.isNaN(at) ? undefined : at;
}
