/** What the dashboard tells of runs: a card in the list, and everything but numbers and rollouts on a run's own page. */

import { basename } from "node:path";
import { type Alarm, alarmSchema } from "../alarms/alarm.ts";
import { recipeToYaml } from "../run/recipe-file.ts";
import type { EventRecord } from "../run/records.ts";
import { type StageChart, stageCharts } from "./chart-catalogue.ts";
import type { EvaluationHead, LiveRun } from "./live-run.ts";
import { type MetricNote, metricNote } from "./metric-notes.ts";
import { type HeadlineResult, headlineResult, type RecipeFacts, recipeFacts } from "./run-facts.ts";
import type { RunState } from "./run-state.ts";

/** A run in the list. */
export interface RunCard {
  readonly kind: "run";
  readonly id: string;
  readonly pipeline: string | undefined;
  readonly name: string;
  readonly question: string;
  readonly task: string;
  readonly seed: number | undefined;
  readonly state: RunState;
  /** ISO 8601; undefined where the diary does not say. */
  readonly startedAt: string | undefined;
  readonly updatedAt: string | undefined;
  /** The stage that is trained now, or was last. */
  readonly stage: { readonly name: string; readonly done: number; readonly total: number | undefined } | undefined;
  /** Of all stages together, 0 to 1; undefined where it is not known. */
  readonly progress: number | undefined;
  /** Seconds of work in its steps. */
  readonly seconds: number;
  readonly result: HeadlineResult | undefined;
  /** Alarms that rang and are not over. */
  readonly alarms: number;
  /** Why the run cannot be read. */
  readonly problem: string | undefined;
}

/** A metric that a stage has. */
export interface StageMetric extends MetricNote {
  readonly name: string;
  readonly latest: number | undefined;
}

/** A stage on the run's page. */
export interface StageView {
  readonly name: string;
  readonly charts: readonly StageChart[];
  readonly metrics: readonly StageMetric[];
  /** Of timings.jsonl. */
  readonly timings: readonly StageMetric[];
  /** Seconds of each part of its steps, together. */
  readonly time: Readonly<Record<string, number>>;
}

/** A run's page. */
export interface RunView {
  readonly card: RunCard;
  readonly directory: string;
  readonly recipe: RecipeFacts;
  readonly recipeYaml: string;
  readonly stages: readonly StageView[];
  readonly evaluations: readonly EvaluationHead[];
  readonly alarms: readonly Alarm[];
  /** The newest lines of the diary. */
  readonly events: readonly EventRecord[];
  /** What of its files could not be read. */
  readonly notes: readonly string[];
}

/** Lines of the diary that a page gets. */
const SHOWN_EVENTS = 500;

/** Alarms of a diary, oldest first. Lines that are not in an alarm's form are passed over. */
export function alarmsOf(events: readonly EventRecord[]): Alarm[] {
  return events.flatMap((record) => {
    const parsed = record.event === "alarm" ? alarmSchema.safeParse(record) : undefined;
    return parsed?.success ? [parsed.data] : [];
  });
}

/** How many of them ring now. */
function ringing(alarms: readonly Alarm[]): number {
  const now = new Set<string>();
  for (const { stage, alarm, reward, state } of alarms) {
    const key = JSON.stringify([stage, alarm, reward]);
    if (state === "raised") now.add(key);
    else if (state === "cleared") now.delete(key);
  }
  return now.size;
}

/** The card of a run, whatever state its files are in. */
export function runCard(id: string, pipeline: string | undefined, run: LiveRun): RunCard {
  const about = {
    ...{ kind: "run" as const, id, pipeline, state: run.state },
    startedAt: run.events[0]?.at,
    updatedAt: run.writtenAt,
    alarms: ringing(alarmsOf(run.events)),
    result: headlineResult(run),
  };
  try {
    const facts = recipeFacts(run);
    const stage = facts.stages.findLast(({ done }) => done > 0) ?? facts.stages[0];
    const { name, question, task, seed } = facts;
    const seconds = facts.stages.reduce((total, one) => total + one.seconds, 0);
    const shown = stage && { name: stage.name, done: stage.done, total: stage.total };
    return {
      ...about,
      name,
      question,
      task,
      seed,
      stage: shown,
      progress: progressOf(facts),
      seconds,
      problem: undefined,
    };
  } catch (error) {
    const problem =
      run.state === "gone" ? "Its directory is gone." : error instanceof Error ? error.message : String(error);
    const nothing = { question: "", task: "", seed: undefined, stage: undefined, progress: undefined, seconds: 0 };
    return { ...about, ...nothing, name: basename(run.directory), problem };
  }
}

function progressOf({ stages }: RecipeFacts): number | undefined {
  if (stages.some(({ total }) => total === undefined)) return undefined;
  const total = stages.reduce((sum, stage) => sum + stage.total!, 0);
  const done = stages.reduce((sum, stage) => sum + Math.min(stage.done, stage.total!), 0);
  return total === 0 ? undefined : done / total;
}

/** The page of a run. Throws RunDirError where its recipe cannot be read. */
export function runView(id: string, pipeline: string | undefined, run: LiveRun): RunView {
  const recipe = recipeFacts(run);
  const trained = recipe.stages.filter(
    ({ name }) => run.metrics.rowCount(name) > 0 || run.evaluations.some(({ stage }) => stage === name),
  );
  return {
    card: runCard(id, pipeline, run),
    directory: run.directory,
    recipe,
    recipeYaml: recipeToYaml(run.recipe()),
    stages: trained.map(({ name, trainer }) => stageView(run, name, trainer)),
    evaluations: run.evaluations,
    alarms: alarmsOf(run.events),
    events: run.events.slice(-SHOWN_EVENTS),
    notes: run.notes,
  };
}

function stageView(run: LiveRun, name: string, trainer: string): StageView {
  const described = (names: readonly string[], latest: Readonly<Record<string, number>>) =>
    names.map((metric): StageMetric => ({ name: metric, latest: latest[metric], ...metricNote(metric) }));
  const timings = run.timings.names(name);
  return {
    name,
    charts: stageCharts(name, trainer, run.metrics.names(name), run.evaluations),
    metrics: described(
      run.metrics.names(name).filter((metric) => metric !== "iteration"),
      run.metrics.latest(name),
    ),
    timings: described(timings, run.timings.latest(name)),
    time: Object.fromEntries(
      timings.filter((part) => part.endsWith("_time")).map((part) => [part, run.timings.sum(name, part)]),
    ),
  };
}
