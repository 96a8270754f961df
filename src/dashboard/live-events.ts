/**
 * What happens, as server-sent events: news of a run as they are written, or the list of runs as it changes. Only what
 * somebody looks at is polled, so a dashboard that nobody looks at costs nothing.
 *
 * Polling instead of `fs.watch`: that tells nothing on network file systems and differently on each operating system, and
 * looking at five files four times a second takes a two-thousandth of a core.
 */

import type { ServerResponse } from "node:http";
import { EventStream } from "../event-stream.ts";
import type { LiveRun, RunNews } from "../inspect/live-run.ts";
import { SAFE_HEADERS } from "./access.ts";
import type { KnownRuns } from "./known-runs.ts";

const POLL_RUN_MS = 250;
const POLL_LIST_MS = 700;
/** A page that does not read what it is sent is cut off; it comes back and reads anew. */
const MAX_BUFFERED_BYTES = 2 ** 26;

/** Sends `value` as one event. */
type Send = (value: unknown) => void;

export class LiveEvents {
  private readonly runs: KnownRuns;
  private readonly streams = new Set<ServerResponse>();
  private readonly watchers = new Map<LiveRun, { count: number; readonly stop: () => void }>();

  constructor(runs: KnownRuns) {
    this.runs = runs;
  }

  /** How many pages listen. */
  get listeners(): number {
    return this.streams.size;
  }

  /** Streams the news of runs, each with its run's id, until the page goes away. */
  async followRuns(
    runs: readonly { readonly id: string; readonly live: LiveRun }[],
    response: ServerResponse,
  ): Promise<void> {
    // Before anybody listens: what is there already is no news.
    for (const { live } of runs) await live.refresh();
    const send = this.open(response);
    for (const { id, live } of runs) {
      const listener = (news: RunNews) => send({ id, ...news });
      live.listeners.add(listener);
      const release = this.watch(live);
      response.on("close", () => {
        live.listeners.delete(listener);
        release();
      });
    }
    send({ connected: true });
  }

  /** Streams the list of runs, now and whenever it has changed. */
  followList(response: ServerResponse): void {
    const send = this.open(response);
    let told = "";
    const stop = repeat(POLL_LIST_MS, async () => {
      const cards = await this.runs.cards();
      const text = JSON.stringify(cards);
      if (text !== told) send(cards);
      told = text;
    });
    response.on("close", stop);
  }

  /** Ends all streams. */
  close(): void {
    for (const response of this.streams) response.end();
  }

  private open(response: ServerResponse): Send {
    const events = new EventStream(response, SAFE_HEADERS);
    this.streams.add(response);
    response.on("close", () => this.streams.delete(response));
    return (value) => {
      events.send(value);
      if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy();
    };
  }

  /** Polls a run as long as anybody watches it; returns how to stop. */
  private watch(live: LiveRun): () => void {
    const watcher = this.watchers.get(live) ?? { count: 0, stop: repeat(POLL_RUN_MS, () => live.refresh()) };
    watcher.count++;
    this.watchers.set(live, watcher);
    return () => {
      watcher.count--;
      if (watcher.count > 0) return;
      watcher.stop();
      this.watchers.delete(live);
    };
  }
}

/** Calls `work` again and again, each time after the time before is over; a failure is a time without news. */
function repeat(everyMs: number, work: () => Promise<unknown>): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const once = async (): Promise<void> => {
    await work().catch(() => undefined);
    if (stopped) return;
    timer = setTimeout(() => void once(), everyMs);
  };
  void once();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
