/**
 * A run directory that is looked at, over and over, while it may be written: `refresh` reads what is new. Everything but
 * the rollouts, which can be many (`rollout-index.ts`). It is forgiving where `run-reader.ts` is strict: whoever watches
 * a run wants to see what can be seen of it, and be told what cannot.
 */

import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readRecipeFile } from "../run/recipe-file.ts";
import {
  type EvaluationRecord,
  type EventRecord,
  evaluationRecordSchema,
  eventRecordSchema,
  logFileName,
} from "../run/records.ts";
import { RUN_FILES } from "../run/run-store.ts";
import { LogTail, objectIn, type TailNews } from "./log-tail.ts";
import { type NumberRow, NumberTable, numberRowOf } from "./number-table.ts";
import { type RunState, runState } from "./run-state.ts";

/** An evaluation without its completions, of which there can be many. */
export type EvaluationHead = Omit<EvaluationRecord, "completions"> & {
  /** Its place among the run's evaluations. */
  readonly index: number;
  /** Completions that it has. */
  readonly completionCount: number;
};

/** What `refresh` found. */
export interface RunNews {
  /** What was told before is not valid any more: a resume has cut the logs back, or the directory is another one. */
  readonly restarted: boolean;
  readonly metrics: readonly NumberRow[];
  readonly timings: readonly NumberRow[];
  readonly evaluations: readonly EvaluationHead[];
  readonly events: readonly EventRecord[];
  readonly state: RunState;
  /** Changes where the files of rollouts do. */
  readonly rolloutStamp: string;
}

const evaluationHeadSchema = evaluationRecordSchema.omit({ completions: true });

/** Where an evaluation stands in its log. */
interface Place {
  readonly start: number;
  readonly end: number;
}

export class LiveRun {
  readonly directory: string;
  readonly metrics = new NumberTable();
  readonly timings = new NumberTable();
  readonly evaluations: EvaluationHead[] = [];
  readonly events: EventRecord[] = [];
  state: RunState = "ended";
  /** Told of every reading that found something, whoever asked for it. */
  readonly listeners = new Set<(news: RunNews) => void>();
  private readonly places: Place[] = [];
  private readonly tails: Readonly<Record<"metrics" | "timings" | "evaluations" | "events", LogTail>>;
  /** Lines that are JSON, and yet no row of their log. */
  private misshapen = 0;
  private refreshing: Promise<RunNews> | undefined;
  private told = { state: "", rolloutStamp: "" };
  private recipeRead: { readonly stamp: string; readonly value: unknown } | undefined;

  constructor(directory: string) {
    this.directory = directory;
    const tail = (name: string) => new LogTail(join(directory, name));
    this.tails = {
      metrics: tail(logFileName("metrics")),
      timings: tail(logFileName("timings")),
      evaluations: tail(logFileName("evaluations")),
      events: tail(RUN_FILES.events),
    };
  }

  /** Reads what is new. Calls that overlap share one reading and its news. */
  refresh(): Promise<RunNews> {
    this.refreshing ??= this.readAndTell().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  private async readAndTell(): Promise<RunNews> {
    const news = await this.read();
    const isNew =
      news.restarted ||
      [news.metrics, news.timings, news.evaluations, news.events].some((rows) => rows.length > 0) ||
      news.state !== this.told.state ||
      news.rolloutStamp !== this.told.rolloutStamp;
    this.told = { state: news.state, rolloutStamp: news.rolloutStamp };
    if (isNew) for (const listener of this.listeners) listener(news);
    return news;
  }

  private async read(): Promise<RunNews> {
    // The diary first: what it tells of is in the other logs then.
    const events = await this.tails.events.poll();
    const [metrics, timings, evaluations] = [
      await this.tails.metrics.poll(),
      await this.tails.timings.poll(),
      await this.tails.evaluations.poll(),
    ];
    const newEvents = this.keep(events, this.events, (value) => eventRecordSchema.safeParse(value).data);
    const heads = this.takeEvaluations(evaluations);
    this.state = runState(
      this.directory,
      this.events.map(({ event }) => event),
    );
    return {
      restarted: [events, metrics, timings, evaluations].some(({ restarted }) => restarted),
      metrics: this.takeNumbers(metrics, this.metrics),
      timings: this.takeNumbers(timings, this.timings),
      evaluations: heads,
      events: newEvents,
      state: this.state,
      rolloutStamp: rolloutStamp(this.directory),
    };
  }

  private takeNumbers({ restarted, rows }: TailNews, table: NumberTable): NumberRow[] {
    if (restarted) table.clear();
    const taken = rows.flatMap(({ value }) => numberRowOf(value) ?? []);
    this.misshapen += rows.length - taken.length;
    for (const row of taken) table.add(row);
    return taken;
  }

  private keep<T>({ restarted, rows }: TailNews, kept: T[], read: (value: unknown) => T | undefined): T[] {
    if (restarted) kept.length = 0;
    const taken = rows.flatMap(({ value }) => read(value) ?? []);
    this.misshapen += rows.length - taken.length;
    // Not push(...taken): a long diary has more lines than a call takes arguments.
    for (const one of taken) kept.push(one);
    return taken;
  }

  private takeEvaluations({ restarted, rows }: TailNews): EvaluationHead[] {
    if (restarted) {
      this.evaluations.length = 0;
      this.places.length = 0;
    }
    const taken: EvaluationHead[] = [];
    for (const { value, start, end } of rows) {
      const parsed = evaluationHeadSchema.safeParse(value);
      const { completions } = value;
      if (!parsed.success || !Array.isArray(completions)) {
        this.misshapen++;
        continue;
      }
      const head = { ...parsed.data, index: this.evaluations.length, completionCount: completions.length };
      this.evaluations.push(head);
      this.places.push({ start, end });
      taken.push(head);
    }
    return taken;
  }

  /** A whole evaluation, read from the log; undefined where there is none of that index, or it is not there any more. */
  async evaluation(index: number): Promise<EvaluationRecord | undefined> {
    const place = this.places[index];
    if (place === undefined) return undefined;
    // A log that was deleted just now has none either.
    const handle = await open(this.tails.evaluations.path, "r").catch(() => undefined);
    if (handle === undefined) return undefined;
    try {
      const bytes = Buffer.alloc(place.end - place.start);
      await handle.read(bytes, 0, bytes.length, place.start);
      return evaluationRecordSchema.safeParse(objectIn(bytes.toString("utf8"))).data;
    } finally {
      await handle.close();
    }
  }

  /**
   * The resolved recipe as plain JSON; read again where the file has changed.
   *
   * @throws RunDirError where it cannot be read.
   */
  recipe(): unknown {
    const path = join(this.directory, RUN_FILES.recipe);
    const stamp = fileStamp(path);
    if (this.recipeRead?.stamp !== stamp) this.recipeRead = { stamp, value: readRecipeFile(path) };
    return this.recipeRead.value;
  }

  /** When something was written last, ISO 8601; undefined where nothing was. */
  get writtenAt(): string | undefined {
    const told = this.events.at(-1)?.at;
    const written = writtenAt(this.tails.timings.path);
    return told === undefined || (written !== undefined && written > told) ? written : told;
  }

  /** What of the logs could not be read, in sentences. */
  get notes(): string[] {
    const damaged = Object.entries(this.tails).flatMap(([, tail]) => {
      if (tail.damaged === 0) return [];
      const lines = tail.damagedLines.join(", ");
      const more = tail.damaged > tail.damagedLines.length ? ", …" : "";
      const what = tail.damaged === 1 ? "1 line is no JSON object" : `${tail.damaged} lines are no JSON objects`;
      return [`${tail.path.split(/[\\/]/).at(-1)}: ${what} and left out (line ${lines}${more}).`];
    });
    if (this.misshapen > 0) damaged.push(`${this.misshapen} lines of the logs are not in the form of their log.`);
    return damaged;
  }
}

function writtenAt(path: string): string | undefined {
  try {
    return statSync(path).mtime.toISOString();
  } catch {
    return undefined;
  }
}

function fileStamp(path: string): string {
  try {
    const { size, mtimeMs, ino } = statSync(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch {
    return "";
  }
}

function rolloutStamp(directory: string): string {
  return `${fileStamp(join(directory, logFileName("rollouts")))}|${fileStamp(directory)}`;
}
