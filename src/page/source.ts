/** Where the page's data come from: the dashboard's server, or the page itself where a run was frozen into a file. */

import type { FrozenRun } from "../inspect/frozen-run.ts";

let frozen: FrozenRun | undefined;

/** From now on answers come from this. */
export function freeze(run: FrozenRun): void {
  frozen = run;
}

/** Whether this is a file, and no server is behind it. */
export function isFrozen(): boolean {
  return frozen !== undefined;
}

/** Why an address was not answered, in a sentence for people. */
class SourceError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** An address with its query; values that are undefined are left out. */
export function addressWith(
  path: string,
  query: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  );
  return `${path}?${new URLSearchParams(given)}`;
}

/** The answer of an address. Throws SourceError. */
export async function ask<T>(address: string, signal?: AbortSignal): Promise<T> {
  if (frozen !== undefined) {
    const [path, search] = address.split("?");
    const columns = frozen.columns[new URLSearchParams(search).get("stage") ?? ""];
    const answer = path === "/api/run" ? frozen.run : path === "/api/metrics" ? columns : undefined;
    if (answer !== undefined) return answer as T;
    throw new SourceError(404, "This page was saved with its run, and does not have that.");
  }
  return read<T>(await send(address, signal ? { signal } : {}));
}

/** Sends a wish that changes something. Throws SourceError. */
export async function post<T>(address: string): Promise<T> {
  return read<T>(await send(address, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }));
}

async function send(address: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new SourceError(0, "The dashboard does not answer: it was ended, or the connection to it is lost.");
  }
}

async function read<T>(response: Response): Promise<T> {
  const value = (await response.json().catch(() => {
    throw new SourceError(
      response.status,
      "What answers there is not the dashboard (any more), or its answer was cut off.",
    );
  })) as T & { readonly error?: string };
  if (!response.ok) throw new SourceError(response.status, value.error ?? response.statusText);
  return value;
}

/** Time before a connection is tried again that the browser gave up. */
const AGAIN_MS = 2000;

/** Whether events arrive. */
export type Connection = "connecting" | "open" | "lost";

/**
 * Listens to server-sent events until the returned function is called. `onConnection` says when the connection comes and
 * goes; browsers connect again by themselves, and what happened in between has to be asked for. A page that is not seen
 * gives its connection back: a browser has six to a server, and somebody may have many pages open.
 */
export function listen(
  address: string,
  onEvent: (value: unknown) => void,
  onConnection: (state: Connection) => void,
): () => void {
  if (frozen !== undefined) return () => {};
  let events: EventSource | undefined;
  const follow = () => {
    events?.close();
    events = undefined;
    if (document.hidden) return onConnection("lost");
    events = new EventSource(address);
    events.onopen = () => onConnection("open");
    events.onerror = () => {
      onConnection("lost");
      // A server that answers with an error is not asked again by the browser itself.
      if (events?.readyState === EventSource.CLOSED) again = setTimeout(follow, AGAIN_MS);
    };
    events.onmessage = ({ data }) => onEvent(JSON.parse(data as string));
  };
  let again: ReturnType<typeof setTimeout> | undefined;
  follow();
  document.addEventListener("visibilitychange", follow);
  return () => {
    document.removeEventListener("visibilitychange", follow);
    clearTimeout(again);
    events?.close();
  };
}
