/**
 * What the page knows of one run: its view, and the columns of numbers that charts have asked for. News are put in as they
 * arrive; after a lost connection, or a resume that cut the logs back, everything is asked for again.
 */

import { useEffect, useState } from "preact/hooks";
import type { RunNews } from "../inspect/live-run.ts";
import type { NumberRow, StageColumns } from "../inspect/number-table.ts";
import type { RunView } from "../inspect/run-answers.ts";
import { Paced } from "./paced.ts";
import { addressWith, ask, type Connection, listen } from "./source.ts";

/** A row of numbers that can grow. */
export interface Columns {
  steps: number[];
  readonly values: Map<string, (number | null)[]>;
}

/** Least time between two readings of the view: with the server's, what is written is shown within a second. */
const VIEW_EVERY_MS = 500;

/** See above; made by `useRuns`. */
export class ShownRun {
  readonly id: string;
  view: RunView | undefined;
  error: string | undefined;
  connection: Connection = "connecting";
  /** Changes when files of rollouts do. */
  rolloutStamp = "";
  /** Rises whenever something has changed. */
  version = 0;
  private readonly metrics = new Map<string, Columns>();
  private readonly timings = new Map<string, Columns>();
  private readonly wanted = new Map<string, Set<string>>();
  private readonly listeners = new Set<() => void>();
  private readonly viewing = new Paced(VIEW_EVERY_MS, () => this.readView());
  private wasLost = false;
  private closed = false;

  constructor(id: string) {
    this.id = id;
  }

  open(): void {
    this.viewing.ask();
  }

  close(): void {
    this.closed = true;
    this.viewing.end();
  }

  /** The connection that brings news has come or gone. */
  connected(state: Connection): void {
    this.connection = state;
    if (state === "lost") this.wasLost = true;
    if (state === "open" && this.wasLost) this.readAgain();
    this.changed();
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Columns of a stage; those that are not here yet are asked for, and come with a change. */
  columns(stage: string, names: readonly string[]): { readonly metrics: Columns; readonly timings: Columns } {
    const wanted = this.wanted.get(stage) ?? new Set();
    this.wanted.set(stage, wanted);
    const missing = names.filter((name) => !wanted.has(name));
    if (missing.length > 0) {
      for (const name of missing) wanted.add(name);
      void this.readColumns(stage, missing);
    }
    return { metrics: columnsIn(this.metrics, stage), timings: columnsIn(this.timings, stage) };
  }

  private async readColumns(stage: string, names: readonly string[]): Promise<void> {
    try {
      const address = addressWith("/api/metrics", { id: this.id, stage, names: [...names].sort().join(",") });
      const { metrics, timings } = await ask<{ metrics: StageColumns; timings: StageColumns }>(address);
      fill(columnsIn(this.metrics, stage), metrics);
      fill(columnsIn(this.timings, stage), timings);
      this.changed();
    } catch (error) {
      for (const name of names) this.wanted.get(stage)?.delete(name);
      this.fail(error);
    }
  }

  /** Takes in what has happened. */
  take(news: Partial<RunNews>): void {
    if (news.restarted) {
      this.readAgain();
      return;
    }
    for (const row of news.metrics ?? []) append(columnsIn(this.metrics, row.stage), row);
    for (const row of news.timings ?? []) append(columnsIn(this.timings, row.stage), row);
    this.rolloutStamp = news.rolloutStamp ?? this.rolloutStamp;
    if (news.state !== undefined) this.viewing.ask();
    this.changed();
  }

  private readAgain(): void {
    this.wasLost = false;
    this.metrics.clear();
    this.timings.clear();
    for (const [stage, names] of this.wanted) void this.readColumns(stage, [...names]);
    this.viewing.ask();
  }

  private async readView(): Promise<void> {
    try {
      this.view = await ask<RunView>(addressWith("/api/run", { id: this.id }));
      this.error = undefined;
      this.changed();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    this.error = error instanceof Error ? error.message : String(error);
    this.changed();
  }

  private changed(): void {
    if (this.closed) return;
    this.version++;
    for (const listener of this.listeners) listener();
  }
}

function columnsIn(table: Map<string, Columns>, stage: string): Columns {
  let found = table.get(stage);
  if (found === undefined) {
    found = { steps: [], values: new Map() };
    table.set(stage, found);
  }
  return found;
}

/** Puts in what was asked for. Rows that arrived meanwhile are in it too, unless they are newer. */
function fill(columns: Columns, { steps, columns: values }: StageColumns): void {
  const newer = columns.steps.filter((step) => step > (steps.at(-1) ?? -1)).length;
  for (const [name, column] of Object.entries(values)) {
    const arrived = newer === 0 ? [] : (columns.values.get(name)?.slice(-newer) ?? Array(newer).fill(null));
    columns.values.set(name, [...column, ...arrived]);
  }
  const length = steps.length + newer;
  columns.steps = [...steps, ...(newer === 0 ? [] : columns.steps.slice(-newer))];
  // Columns that were here before are as long as the log was then.
  for (const column of columns.values.values()) while (column.length < length) column.push(null);
}

function append(columns: Columns, { step, values }: NumberRow): void {
  // A row that the answer to a question had already.
  if (step <= (columns.steps.at(-1) ?? -1)) return;
  columns.steps.push(step);
  const known = new Set([...columns.values.keys(), ...Object.keys(values)]);
  for (const name of known) {
    let column = columns.values.get(name);
    if (column === undefined) {
      column = Array(columns.steps.length - 1).fill(null);
      columns.values.set(name, column);
    }
    column.push(values[name] ?? null);
  }
}

/** What arrives: news, and of which run. */
type RunEvent = Partial<RunNews> & { readonly id: string };

/**
 * The stores of runs while a component shows them; it is drawn again with every change. All of them share one connection:
 * browsers allow six to a server.
 */
export function useRuns(ids: readonly string[]): readonly ShownRun[] {
  const key = JSON.stringify(ids);
  const [stores, setStores] = useState<readonly ShownRun[]>([]);
  const [, setVersion] = useState(0);
  useEffect(() => {
    const opened = ids.map((id) => new ShownRun(id));
    setStores(opened);
    let frame = 0;
    const onChange = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setVersion((version) => version + 1));
    };
    const stops = opened.map((store) => store.onChange(onChange));
    const query = new URLSearchParams(ids.map((id) => ["id", id]));
    const stopListening = listen(
      `/api/events?${query}`,
      (value) => opened.find(({ id }) => id === (value as RunEvent).id)?.take(value as RunEvent),
      (state) => {
        for (const store of opened) store.connected(state);
      },
    );
    for (const store of opened) store.open();
    return () => {
      stopListening();
      for (const stop of stops) stop();
      cancelAnimationFrame(frame);
      for (const store of opened) store.close();
    };
  }, [key]);
  return stores;
}
