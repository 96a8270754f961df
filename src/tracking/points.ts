/**
 * What a tracker shows of a run: numbers and texts, each under a tag, at a step. Every tracker that Aha brings shows the
 * same points under the same tags.
 *
 *     train/reward, train/loss, …       a row of metrics.jsonl
 *     time/step_time, …                 a row of timings.jsonl
 *     eval/solve_rate, …                a held-out evaluation, sampled; eval_greedy/… where it was greedy
 *     eval/answers, train/completions   some of the texts
 *     alarms/NAME, alarms/NAME/message  1 when the alarm rings, 0 when it is over; what it means
 *
 * `train/` and `eval/` are what transformers' reporters write (`rewrite_logs` of its integrations). Where a run has several
 * stages, each of which counts its steps from 1, the stage's name goes before the tag: `r1-zero/train/reward`.
 *
 * Steps of one tag only grow. So the last step of each tag says all about what a place has got already, and a point is
 * never sent twice (`place.ts`).
 */

import type { Alarm } from "../alarms/alarm.ts";
import type { EvaluationRecord, RolloutRecord } from "../run/records.ts";
import type { TrackedRow } from "./tracker.ts";

/** A completion as trackers show it: hostile text, which stays text. */
export interface TrackedCompletion {
  readonly prompt: string;
  readonly completion: string;
  /** Numbers and short texts about it: reward, advantage, why it ended. */
  readonly facts: Readonly<Record<string, number | string | boolean | null>>;
}

/** A text under a tag. */
export type TextPoint =
  | { readonly tag: string; readonly kind: "completions"; readonly completions: readonly TrackedCompletion[] }
  | { readonly tag: string; readonly kind: "alarm"; readonly isRaised: boolean; readonly message: string };

/** What is told at once: the points of one step. */
export interface Points {
  /** Optimizer steps of the stage; of completions its iteration. */
  readonly step: number;
  /** When it happened, in milliseconds since 1970. */
  readonly at: number;
  readonly scalars: readonly (readonly [tag: string, value: number])[];
  readonly texts: readonly TextPoint[];
}

/** How points of a run are made. */
export interface PointRules {
  /** Names of the run's stages. */
  readonly stages: readonly string[];
  /** Most completions of one iteration or evaluation that are shown. */
  readonly completions: number;
}

/** Longer texts are cut: completions may have megabytes. */
const MAX_CHARACTERS = 8_000;

/** Points of a row of metrics. */
export function metricPoints(row: TrackedRow, rules: PointRules, at: number): Points {
  return rowPoints("train", row, rules, at);
}

/** Points of a row of timings: its seconds. The log has memory beside them, which is not told while the run goes. */
export function timingPoints({ values, ...row }: TrackedRow, rules: PointRules, at: number): Points {
  const seconds = Object.fromEntries(Object.entries(values).filter(([name]) => name.endsWith("_time")));
  return rowPoints("time", { ...row, values: seconds }, rules, at);
}

/** Points of a held-out evaluation. */
export function evaluationPoints(record: EvaluationRecord, rules: PointRules, at: number): Points {
  const { stage, step, decoding, metrics = {}, completions } = record;
  const section = decoding === "greedy" ? "eval_greedy" : "eval";
  const tag = tagger(section, stage, rules);
  const shown = spread(completions, rules.completions).map(({ prompt, completion, ...about }) => {
    const { problemId, solved, wellFormed, finishReason, lengthTokens } = about;
    return tracked(prompt, completion, { problemId, solved, wellFormed, finishReason, lengthTokens });
  });
  return {
    ...{ step, at },
    scalars: Object.entries(metrics).map(([name, value]) => [tag(name.replace(/^eval_/, "")), value ?? Number.NaN]),
    texts: shown.length > 0 ? [{ tag: tag("answers"), kind: "completions", completions: shown }] : [],
  };
}

/** Points of one iteration's completions, which are all of one stage. */
export function rolloutPoints(rows: readonly RolloutRecord[], rules: PointRules, at: number): Points | undefined {
  const [first] = rows;
  if (first === undefined || rules.completions === 0) return undefined;
  const completions = spread(rows, rules.completions).map((row) => {
    const { promptId, reward, advantage, solved, finishReason, lengthTokens } = row;
    const scores = Object.entries(row.rewards).map(([name, { score }]) => [`rewards/${name}`, score] as const);
    const facts = { promptId, reward, ...Object.fromEntries(scores), advantage, finishReason, lengthTokens };
    return tracked(row.prompt, row.completion, { ...facts, ...(solved !== undefined && { solved }) });
  });
  const tag = tagger("train", first.stage, rules)("completions");
  return { step: first.iteration, at, scalars: [], texts: [{ tag, kind: "completions", completions }] };
}

/** Points of an alarm. */
export function alarmPoints(alarm: Alarm, rules: PointRules, at: number): Points {
  const { stage, step, reward, state, message } = alarm;
  const isRaised = state !== "cleared";
  const tag = tagger("alarms", stage, rules)(reward === undefined ? alarm.alarm : `${alarm.alarm}/${reward}`);
  return {
    ...{ step, at },
    scalars: [[tag, isRaised ? 1 : 0]],
    texts: [{ tag: `${tag}/message`, kind: "alarm", isRaised, message: clean(message) }],
  };
}

/** The points that are new to somebody who has every tag up to `lastSteps`; undefined where none is. */
export function newPoints(points: Points, lastSteps: ReadonlyMap<string, number>): Points | undefined {
  const isNew = (tag: string) => points.step > (lastSteps.get(tag) ?? Number.NEGATIVE_INFINITY);
  const scalars = points.scalars.filter(([tag]) => isNew(tag));
  const texts = points.texts.filter(({ tag }) => isNew(tag));
  return scalars.length + texts.length === 0 ? undefined : { ...points, scalars, texts };
}

/** Every tag of the points. */
export function tagsOf(points: Points): string[] {
  return [...points.scalars.map(([tag]) => tag), ...points.texts.map(({ tag }) => tag)];
}

function rowPoints(section: string, { stage, step, values }: TrackedRow, rules: PointRules, at: number): Points {
  const tag = tagger(section, stage, rules);
  return { step, at, scalars: Object.entries(values).map(([name, value]) => [tag(name), value]), texts: [] };
}

function tagger(section: string, stage: string, { stages }: PointRules): (name: string) => string {
  const prefix = stages.length > 1 ? `${stage}/${section}` : section;
  return (name) => tagText(`${prefix}/${name}`);
}

/** A tag that every tracker takes: MLflow allows the fewest characters (`mlflow.utils.validation`), and no odd segments. */
function tagText(text: string): string {
  const segments = text.replace(/[^A-Za-z0-9_\-./ :]/g, "_").split("/");
  return segments
    .filter((segment) => !["", ".", ".."].includes(segment))
    .join("/")
    .slice(0, 240);
}

/** At most `count` items, evenly over all of them, so that several prompts are among them. */
function spread<T>(items: readonly T[], count: number): T[] {
  if (items.length <= count) return [...items];
  return Array.from({ length: count }, (_, index) => items[Math.floor((index * items.length) / count)]!);
}

function tracked(prompt: string, completion: string, facts: TrackedCompletion["facts"]): TrackedCompletion {
  return { prompt: clean(prompt), completion: clean(completion), facts };
}

/** Text without control characters but tabs and line feeds, well-formed, and cut where it is long. */
function clean(text: string): string {
  const more = text.length - MAX_CHARACTERS;
  const cut = more > 0 ? `${text.slice(0, MAX_CHARACTERS)} […${more} more characters]` : text;
  return Buffer.from(cut, "utf8")
    .toString("utf8")
    .replace(/(?![\t\n])\p{Cc}/gu, "\ufffd");
}

/**
 * A number for JSON, which has no NaN and no infinity: trackio (`serialize_values`) and protobuf's JSON, which MLflow reads,
 * have the same words for them.
 */
export function jsonNumber(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
